\set a random(1, 1000)
\set b random(1, 1000)
\startpipeline
begin;
select set_config('role', 'bench_anon', true), set_config('request.jwt.claims', '{"role":"bench_anon"}', true);
select to_json(bench.add(:a, :b));
commit;
\endpipeline
