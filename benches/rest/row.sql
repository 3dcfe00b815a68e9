\set id random(1, :tickets)
\startpipeline
begin;
select set_config('role', 'bench_anon', true), set_config('request.jwt.claims', '{"role":"bench_anon"}', true);
select coalesce(json_agg(t), '[]') from (select * from bench.tickets where id = :id) t;
commit;
\endpipeline
