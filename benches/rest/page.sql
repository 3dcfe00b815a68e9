\set tenant random(1, 200)
\startpipeline
begin;
select set_config('role', 'bench_anon', true), set_config('request.jwt.claims', '{"role":"bench_anon"}', true);
select coalesce(json_agg(r), '[]')
  from (select t.id, t.title, t.status, t.priority, t.created_at, row_to_json(u) as complainant, row_to_json(n) as tenant
          from bench.tickets t
          left join lateral (select id, full_name, email from bench.users where id = t.complainant_id) u on true
          left join lateral (select id, name from bench.tenants where id = t.tenant_id) n on true
         where t.tenant_id = :tenant
         order by t.created_at desc
         limit 50) r;
commit;
\endpipeline
