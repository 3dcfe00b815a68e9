-- A tenant with 1,000 users and no rules; and bare copies of the two tables for the least SQL.
insert into tenants (id, name, email) values ('d0000000-0000-4000-8000-000000000009', 'Bench', 'bench@example.com');
insert into users (tenant_id, email, full_name, role, telegram_chat_id)
select 'd0000000-0000-4000-8000-000000000009', 'bench' || n || '@example.com', 'User ' || n, 'complainant', 100000 + n
  from generate_series(1, 1000) n;

create table least_tickets (like tickets including defaults including constraints including indexes);
alter table least_tickets
  add foreign key (tenant_id) references tenants (id) on delete set null,
  add foreign key (complainant_id) references users (id) on delete set null,
  add foreign key (category_id) references categories (id) on delete set null,
  add foreign key (executor_profile_id) references executor_profiles (id) on delete set null;
create sequence least_ticket_number;
create table least_queue (like ticket_webhook_queue including defaults including identity including constraints including indexes);
alter table least_queue
  add foreign key (ticket_id) references least_tickets (id) on delete cascade,
  add foreign key (tenant_id) references tenants (id) on delete cascade;
vacuum analyze;
