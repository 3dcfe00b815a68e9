\set tenant random(1, 200)
\set complainant random(1, 50000)
\startpipeline
begin;
select set_config('role', 'bench_anon', true), set_config('request.jwt.claims', '{"role":"bench_anon"}', true);
insert into bench.inserted (tenant_id, complainant_id, title, status) values (:tenant, :complainant, 'AC not working in Building A', 'open');
commit;
\endpipeline
