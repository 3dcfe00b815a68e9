\startpipeline
begin;
select set_config('role', 'bench_anon', true), set_config('request.jwt.claims', '{"role":"bench_anon"}', true);
insert into bench.inserted (tenant_id, complainant_id, title, status) select r.tenant_id, r.complainant_id, r.title, r.status from bench.bodies b, json_to_recordset(b.body) as r (tenant_id int, complainant_id int, title text, status text) where b.name = 'bulk';
commit;
\endpipeline
