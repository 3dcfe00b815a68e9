\set chat :tenant * 1000000 + random(1, 1000)
select outcome, ticket_id, ticket_number from dropwire.create_ticket_from_telegram(('d0000000-0000-4000-8000-00000000000' || :tenant)::uuid, (:chat)::text, (:chat)::text, 'AC not working in Building A', 'Building A, Floor 3', 'HVAC', 'high', 'Maintenance', null, null, null);
