\set first random(1, 100000)
\startpipeline
begin;
select set_config('role', 'bench_anon', true), set_config('request.jwt.claims', '{"role":"bench_anon"}', true);
insert into bench.upserted (id, title, seen) select n, 'Ticket ' || n, 1 from generate_series(:first, :first + 99) n on conflict (id) do update set title = excluded.title, seen = excluded.seen;
commit;
\endpipeline
