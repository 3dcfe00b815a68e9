\set chat 4000000 + random(1, 1000)
\set executor 1 + :client_id + :clients * random(0, 200 / :clients - 1)
with ticket as (select * from dropwire.create_ticket_from_telegram('d0000000-0000-4000-8000-000000000004'::uuid, (:chat)::text, (:chat)::text, 'AC not working in Building A', 'Building A, Floor 3', 'HVAC', 'high', 'Maintenance', null, null, null)) select outcome, ticket_id, ticket_number, public.bench_rows(ticket_id, (:executor)::int) from ticket;
