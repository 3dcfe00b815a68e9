\set chat random(100001, 101000)
select outcome, ticket_id, ticket_number from dropwire.create_ticket_from_telegram('d0000000-0000-4000-8000-000000000009', (:chat)::text, (:chat)::text, 'AC not working in Building A', 'Building A, Floor 3', 'HVAC', 'high', 'Maintenance', null, null, null);
