-- The original's database, as its migrations leave it behind where they work, with what its code needs besides: the
-- tables, constraints, triggers and policies of fms-schema.json under their names, and its defects. Function bodies
-- are our own and do what the original's do. A Supabase project surrounds it: extensions, auth, rights of the API roles.

create schema extensions;
create extension "uuid-ossp" with schema extensions;
create extension pgcrypto with schema extensions;
create schema auth;
create table auth.users (id uuid primary key, email text);
create function auth.uid() returns uuid language sql stable
  return nullif(current_setting('request.jwt.claims', true)::jsonb ->> 'sub', '')::uuid;
create function auth.role() returns text language sql stable
  return current_setting('request.jwt.claims', true)::jsonb ->> 'role';

create type automation_action_type as enum (
  'assign_executor', 'set_priority', 'set_due_date', 'escalate', 'notify', 'set_status');
create type rule_type_enum as enum ('priority', 'sla', 'allocation');
create sequence ticket_number_seq start with 1000;

-- Tables ------------------------------------------------------------------------------------------------------------
create table tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  email text not null,
  phone text,
  address text,
  city text,
  state text,
  country text,
  postal_code text,
  contact_person text,
  subscription_status text default 'trial',
  subscription_start_date date,
  subscription_end_date date,
  max_users integer default 10,
  active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  approved boolean default false,
  approved_at timestamptz,
  approved_by uuid,
  automation_webhook_url text,
  constraint tenants_email_key unique (email),
  constraint tenants_subscription_status_check check (subscription_status in ('trial', 'active', 'inactive',
    'expired'))
);
create table designations (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  description text,
  tenant_id uuid,
  active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint unique_designation_per_tenant unique (name, tenant_id)
);
create table users (
  id uuid primary key default gen_random_uuid(),
  email text not null,
  phone text,
  department text,
  employee_id text,
  active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  tenant_id uuid,
  full_name text,
  emp_code text,
  is_active boolean default true,
  role text not null,
  telegram_chat_id numeric,
  telegram_user_id text,
  manager_id uuid,
  designation_id uuid,
  bot_onboarding_status text not null default 'not_required',
  bot_onboarding_started_at timestamptz,
  bot_onboarding_completed_at timestamptz,
  bot_onboarding_error text,
  bot_onboarding_retry_count integer not null default 0,
  bot_deep_link text,
  bot_correlation_id uuid,
  constraint users_email_key unique (email),
  constraint users_tenant_id_email_key unique (tenant_id, email),
  constraint users_tenant_id_emp_code_key unique (tenant_id, emp_code),
  constraint users_bot_onboarding_status_check check (bot_onboarding_status in ('not_required', 'pending', 'invited',
    'awaiting_chat', 'completed', 'failed', 'cancelled')),
  constraint users_role_check check (role in ('admin', 'executor', 'complainant', 'tenant_admin'))
);
create table categories (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  description text,
  active boolean default true,
  created_at timestamptz default now(),
  icon text,
  color text default '#3B82F6',
  keywords text[] default '{}',
  ai_available boolean default false,
  sort_order integer default 0,
  updated_at timestamptz default now(),
  tenant_id uuid,
  is_active boolean default true,
  constraint categories_name_key unique (name)
);
create table priorities (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  level integer not null,
  sla_hours integer,
  color text,
  active boolean default true,
  created_at timestamptz default now(),
  tenant_id uuid,
  is_active boolean default true,
  level_order integer,
  constraint priorities_name_key unique (name)
);
create table executor_skill (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  name text not null,
  description text,
  category uuid,
  is_active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
create table executor_skills (
  executor_user_id uuid not null,
  executor_skill_id uuid not null,
  primary key (executor_user_id, executor_skill_id)
);
create table executor_profiles (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null,
  user_id uuid,
  category_id uuid,
  skills uuid[] not null default '{}',
  max_concurrent_tickets integer default 10,
  availability_status text default 'available',
  assigned_tickets_count integer not null default 0,
  open_tickets_count integer not null default 0,
  employee_id text,
  manager_id uuid,
  full_name text,
  email text,
  phone text,
  telegram_user_id text,
  telegram_chat_id numeric,
  is_default_executor boolean not null default false,
  constraint executor_profiles_availability_status_check check (availability_status in ('available', 'busy',
    'offline'))
);
create table executors (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  skills text[] default '{}',
  max_tickets integer default 10,
  current_load integer default 0,
  availability text default 'available',
  work_start time default '09:00:00',
  work_end time default '17:00:00',
  telegram_token text,
  telegram_connected boolean default false,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint executors_availability_check check (availability in ('available', 'busy', 'offline'))
);
create table tickets (
  id uuid primary key default gen_random_uuid(),
  ticket_number text not null,
  title text not null,
  description text not null,
  category text not null,
  priority text not null,
  type text not null,
  status text not null default 'open',
  location text not null,
  building text,
  floor text,
  room text,
  complainant_id uuid,
  executor_id uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  resolved_at timestamptz,
  due_date timestamptz,
  tenant_id uuid,
  category_id uuid,
  sla_due_date timestamptz,
  executor_profile_id uuid,
  constraint tickets_ticket_number_key unique (ticket_number),
  constraint tickets_priority_check check (priority in ('critical', 'high', 'medium', 'low')),
  constraint tickets_status_check check (status in ('open', 'in-progress', 'resolved', 'closed'))
);
create table ticket_activities (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null,
  tenant_id uuid,
  activity_type text not null,
  comment text,
  created_by uuid,
  created_at timestamptz default now(),
  metadata jsonb,
  constraint ticket_activities_activity_type_check check (activity_type in ('reassignment', 'priority_change',
    'sla_change', 'admin_comment', 'complainant_comment', 'executor_update', 'status_change'))
);
create table ticket_webhook_queue (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null,
  activity_id uuid,
  tenant_id uuid not null,
  status text not null default 'pending',
  attempt_count integer not null default 0,
  last_error text,
  next_attempt_at timestamptz not null default now(),
  payload jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint ticket_webhook_queue_status_check check (status in ('pending', 'processing', 'delivered', 'failed'))
);
create table tenant_notifications (
  id uuid primary key default extensions.uuid_generate_v4(),
  tenant_id uuid not null,
  user_id uuid,
  triggered_by uuid,
  type text not null,
  title text not null,
  message text not null,
  level text not null default 'info',
  status text not null default 'unread',
  metadata jsonb,
  created_at timestamptz not null default now(),
  read_at timestamptz
);
create table executor_ticket_sessions (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null,
  executor_profile_id uuid,
  executor_user_id uuid,
  telegram_chat_id text not null,
  telegram_message_id bigint,
  prompt_message_id bigint,
  session_type text not null,
  state text not null default 'awaiting_input',
  expires_at timestamptz,
  metadata jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint executor_ticket_sessions_session_type_check check (session_type in ('update', 'status_change')),
  constraint executor_ticket_sessions_state_check check (state in ('awaiting_input', 'completed', 'cancelled',
    'expired'))
);
create table telegram_messages (
  id uuid primary key default gen_random_uuid(),
  chat_id text not null,
  ticket_id uuid,
  tenant_id uuid,
  message_text text,
  created_at timestamptz not null default now(),
  message_seq integer not null default 1
);
create table rules (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid,
  rule_name text not null,
  priority_order integer not null default 999,
  is_active boolean not null default true,
  executor_pool uuid[],
  assignment_strategy text,
  trigger_event varchar(50) not null default 'on_create',
  stop_on_match boolean default false,
  max_executions integer,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  rule_type rule_type_enum not null default 'allocation',
  constraint check_trigger_event check (trigger_event in ('on_create', 'on_update', 'on_manual', 'on_status_change'))
);
create table conditions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid,
  rule_id uuid not null,
  field_path text not null,
  operator varchar(50) not null,
  value text[] not null default '{}',
  sequence integer not null default 1,
  group_id uuid,
  logical_operator varchar(10),
  constraint check_logical_operator check (logical_operator is null or logical_operator in ('AND', 'OR')),
  constraint check_operator check (operator in ('equals', 'not_equals', 'contains', 'not_contains', 'in', 'not_in',
    'greater_than', 'less_than', 'greater_than_or_equal', 'less_than_or_equal', 'between', 'is_null', 'is_not_null',
    'regex', 'starts_with', 'ends_with'))
);
create table actions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid,
  rule_id uuid not null,
  action_type automation_action_type not null,
  action_params jsonb not null default '{}',
  step_order integer not null default 1,
  trigger_after_minutes integer,
  action_condition text
);
create table rule_execution_logs (
  id uuid primary key default gen_random_uuid(),
  rule_id uuid not null,
  ticket_id uuid not null,
  execution_status varchar(20) not null,
  matched_conditions jsonb,
  actions_executed jsonb,
  error_message text,
  execution_time_ms integer,
  created_at timestamptz default now(),
  constraint rule_execution_logs_execution_status_check check (execution_status in ('success', 'failed', 'skipped'))
);
create table business_hours (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid,
  day_of_week text not null,
  is_working_day boolean default false,
  start_time time,
  end_time time,
  timezone text default 'UTC+05:30 (IST)',
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint unique_day_per_tenant unique (day_of_week, tenant_id),
  constraint business_hours_day_of_week_check check (day_of_week in ('Monday', 'Tuesday', 'Wednesday', 'Thursday',
    'Friday', 'Saturday', 'Sunday'))
);
create table holidays (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid,
  date date not null,
  name text not null,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint unique_holiday_per_tenant unique (date, tenant_id)
);
create table sla_configurations (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid
);

-- References and indexes ---------------------------------------------------------------------------------------------
alter table tenants add constraint tenants_approved_by_fkey
  foreign key (approved_by) references users on delete set null;
alter table designations add constraint designations_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table users add constraint users_designation_id_fkey
  foreign key (designation_id) references designations on delete set null;
alter table users add constraint users_manager_id_fkey foreign key (manager_id) references users on delete set null;
alter table users add constraint users_tenant_id_fkey foreign key (tenant_id) references tenants on delete set null;
alter table categories add constraint categories_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table priorities add constraint priorities_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table executor_skill add constraint executor_skill_category_fkey
  foreign key (category) references categories on delete set null;
alter table executor_skill add constraint executor_skill_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table executor_skills add constraint executor_skills_executor_skill_id_fkey
  foreign key (executor_skill_id) references executor_skill on delete cascade;
alter table executor_skills add constraint executor_skills_executor_user_id_fkey
  foreign key (executor_user_id) references users on delete cascade;
alter table executor_profiles add constraint executor_profiles_category_id_fkey
  foreign key (category_id) references categories on delete set null;
alter table executor_profiles add constraint executor_profiles_manager_id_fkey
  foreign key (manager_id) references users on delete set null;
alter table executor_profiles add constraint executor_profiles_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table executor_profiles add constraint executor_profiles_user_id_fkey
  foreign key (user_id) references users on delete cascade;
alter table executors add constraint executors_user_id_fkey foreign key (user_id) references users on delete cascade;
alter table tickets add constraint tickets_category_id_fkey
  foreign key (category_id) references categories on delete set null;
alter table tickets add constraint tickets_complainant_id_fkey
  foreign key (complainant_id) references users on delete set null;
alter table tickets add constraint tickets_executor_profile_id_fkey
  foreign key (executor_profile_id) references executor_profiles on delete set null;
alter table tickets add constraint tickets_tenant_id_fkey foreign key (tenant_id) references tenants on delete set null;
alter table ticket_activities add constraint ticket_activities_created_by_fkey
  foreign key (created_by) references users on delete set null;
alter table ticket_activities add constraint ticket_activities_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete set null;
alter table ticket_activities add constraint ticket_activities_ticket_id_fkey
  foreign key (ticket_id) references tickets on delete cascade;
alter table ticket_webhook_queue add constraint ticket_webhook_queue_activity_id_fkey
  foreign key (activity_id) references ticket_activities on delete cascade;
alter table ticket_webhook_queue add constraint ticket_webhook_queue_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table ticket_webhook_queue add constraint ticket_webhook_queue_ticket_id_fkey
  foreign key (ticket_id) references tickets on delete cascade;
alter table tenant_notifications add constraint tenant_notifications_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table tenant_notifications add constraint tenant_notifications_triggered_by_fkey
  foreign key (triggered_by) references users on delete set null;
alter table tenant_notifications add constraint tenant_notifications_user_id_fkey
  foreign key (user_id) references users on delete set null;
alter table executor_ticket_sessions add constraint executor_ticket_sessions_executor_profile_id_fkey
  foreign key (executor_profile_id) references executor_profiles on delete set null;
alter table executor_ticket_sessions add constraint executor_ticket_sessions_executor_user_id_fkey
  foreign key (executor_user_id) references users on delete set null;
alter table executor_ticket_sessions add constraint executor_ticket_sessions_ticket_id_fkey
  foreign key (ticket_id) references tickets on delete cascade;
alter table telegram_messages add constraint telegram_messages_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete set null;
alter table telegram_messages add constraint telegram_messages_ticket_id_fkey
  foreign key (ticket_id) references tickets on delete set null;
alter table rules add constraint allocation_rules_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table conditions add constraint conditions_rule_id_fkey foreign key (rule_id) references rules on delete cascade;
alter table conditions add constraint conditions_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table actions add constraint actions_rule_id_fkey foreign key (rule_id) references rules on delete cascade;
alter table actions add constraint actions_tenant_id_fkey foreign key (tenant_id) references tenants on delete cascade;
alter table rule_execution_logs add constraint rule_execution_logs_rule_id_fkey
  foreign key (rule_id) references rules on delete cascade;
alter table rule_execution_logs add constraint rule_execution_logs_ticket_id_fkey
  foreign key (ticket_id) references tickets on delete cascade;
alter table business_hours add constraint business_hours_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table holidays add constraint holidays_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
alter table sla_configurations add constraint sla_configurations_tenant_id_fkey
  foreign key (tenant_id) references tenants on delete cascade;
-- Keeps out the users whom the code stores there.
alter table tickets add constraint tickets_executor_id_fkey
  foreign key (executor_id) references executors on delete set null;
create index idx_tenants_approved on tenants using btree (approved);
create index idx_tenants_email on tenants using btree (email);
create index idx_tenants_subscription_status on tenants using btree (subscription_status);
create index idx_designations_active on designations using btree (active);
create index idx_designations_tenant_id on designations using btree (tenant_id);
create index idx_users_designation_id on users using btree (designation_id);
create index idx_users_email on users using btree (email);
create index idx_users_role on users using btree (role);
create index idx_users_tenant_id on users using btree (tenant_id);
create index idx_users_tenant_id_btree on users using btree (tenant_id);
create index idx_executor_skill_category on executor_skill using btree (category);
create index idx_executor_skill_is_active on executor_skill using btree (is_active);
create index idx_executor_skill_tenant_id on executor_skill using btree (tenant_id);
create index idx_executor_skills_skill_id on executor_skills using btree (executor_skill_id);
create index idx_executor_skills_user_id on executor_skills using btree (executor_user_id);
create index idx_executor_profiles_is_default_executor on executor_profiles using btree (tenant_id, is_default_executor) WHERE (is_default_executor = true);
create index idx_tickets_executor_profile_id on tickets using btree (executor_profile_id);
create index idx_tickets_tenant_id on tickets using btree (tenant_id);
create index idx_ticket_activities_activity_type on ticket_activities using btree (activity_type);
create index idx_ticket_activities_created_at on ticket_activities using btree (created_at DESC);
create index idx_ticket_activities_created_by on ticket_activities using btree (created_by);
create index idx_ticket_activities_tenant_id on ticket_activities using btree (tenant_id);
create index idx_ticket_activities_ticket_id on ticket_activities using btree (ticket_id);
create index ticket_webhook_queue_status_next_attempt_idx on ticket_webhook_queue using btree (status, next_attempt_at);
create index ticket_webhook_queue_tenant_idx on ticket_webhook_queue using btree (tenant_id);
create index tenant_notifications_status_idx on tenant_notifications using btree (tenant_id, status);
create index tenant_notifications_tenant_id_idx on tenant_notifications using btree (tenant_id, created_at DESC);
create index idx_executor_ticket_sessions_chat on executor_ticket_sessions using btree (telegram_chat_id);
create index idx_executor_ticket_sessions_ticket on executor_ticket_sessions using btree (ticket_id);
create unique index uidx_executor_ticket_sessions_active on executor_ticket_sessions using btree (telegram_chat_id, ticket_id) WHERE (state = 'awaiting_input');
create index idx_telegram_messages_chat_seq on telegram_messages using btree (chat_id, message_seq DESC);
create index idx_rules_is_active on rules using btree (is_active);
create index idx_rules_priority_order on rules using btree (priority_order);
create index idx_rules_rule_type on rules using btree (rule_type);
create index idx_rules_tenant_id on rules using btree (tenant_id);
create index idx_rules_trigger_event on rules using btree (trigger_event);
create index idx_conditions_group_id on conditions using btree (group_id);
create index idx_conditions_rule_id on conditions using btree (rule_id);
create index idx_conditions_sequence on conditions using btree (sequence);
create index idx_conditions_tenant_id on conditions using btree (tenant_id);
create index idx_actions_rule_id on actions using btree (rule_id);
create index idx_actions_step_order on actions using btree (step_order);
create index idx_actions_tenant_id on actions using btree (tenant_id);
create index idx_rule_execution_logs_created_at on rule_execution_logs using btree (created_at);
create index idx_rule_execution_logs_rule_id on rule_execution_logs using btree (rule_id);
create index idx_rule_execution_logs_status on rule_execution_logs using btree (execution_status);
create index idx_rule_execution_logs_ticket_id on rule_execution_logs using btree (ticket_id);
create index idx_business_hours_day on business_hours using btree (day_of_week);
create index idx_business_hours_tenant_id on business_hours using btree (tenant_id);
create index idx_holidays_date on holidays using btree (date);
create index idx_holidays_tenant_id on holidays using btree (tenant_id);

-- Functions and triggers --------------------------------------------------------------------------------------------
create function update_updated_at_column() returns trigger language plpgsql as
  $$ begin new.updated_at = now(); return new; end $$;
create function update_rules_updated_at() returns trigger language plpgsql as
  $$ begin new.updated_at = now(); return new; end $$;
create function set_executor_ticket_sessions_updated_at() returns trigger language plpgsql as
  $$ begin new.updated_at = now(); return new; end $$;
create function touch_ticket_webhook_queue_updated_at() returns trigger language plpgsql as
  $$ begin new.updated_at = now(); return new; end $$;
create function ensure_single_default_executor() returns trigger language plpgsql as $$
begin
  if new.is_default_executor then
    update executor_profiles set is_default_executor = false where tenant_id = new.tenant_id and id <> new.id;
  end if;
  return new;
end $$;
create function set_telegram_message_seq() returns trigger language plpgsql as $$
begin
  if new.message_seq is null then
    select coalesce(max(message_seq), 0) + 1 into new.message_seq
      from telegram_messages where chat_id = new.chat_id and ticket_id is null;
  end if;
  return new;
end $$;
-- Highest number of the prefix in the tenant that the caller sees, plus one, cut to four characters.
create function generate_ticket_number() returns trigger language plpgsql as $$
declare
  prefix text := 'DEF';
  highest int;
begin
  if coalesce(new.ticket_number, '') <> '' then return new; end if;
  if new.tenant_id is not null then
    select rpad(left(upper(regexp_replace(name, '[^A-Z0-9]', '', 'g')), 3), 3, 'X')
      into prefix from tenants where id = new.tenant_id;
  end if;
  select coalesce(max(substring(ticket_number from 9)::int), 0) into highest
    from tickets where tenant_id = new.tenant_id and ticket_number like 'FMS-' || prefix || '-%';
  new.ticket_number := 'FMS-' || prefix || '-' || lpad((highest + 1)::text, 4, '0');
  return new;
end $$;
create function enqueue_ticket_activity_webhook() returns trigger language plpgsql security definer as $$
declare
  tenant uuid := coalesce(new.tenant_id, (select t.tenant_id from tickets t where t.id = new.ticket_id));
begin
  if tenant is not null then
    insert into ticket_webhook_queue (ticket_id, activity_id, tenant_id, payload)
    values (new.ticket_id, new.id, tenant, jsonb_build_object('activity_type', new.activity_type,
      'comment', new.comment, 'metadata', new.metadata, 'created_at', new.created_at));
  end if;
  return new;
end $$;
create function get_user_tenant_id() returns uuid language sql stable security definer as
  $$ select tenant_id from users where id = auth.uid() $$;
create function can_tenant_admin_access_executor_profile(profile_id uuid) returns boolean
language sql stable security definer as $$
  select exists (select from executor_profiles p join users u on u.tenant_id = p.tenant_id
                  where p.id = profile_id and u.id = auth.uid() and u.role = 'tenant_admin')
$$;
create function can_tenant_admin_create_executor_profile(target_tenant_id uuid) returns boolean
language sql stable security definer as $$
  select exists (select from users where id = auth.uid() and role = 'tenant_admin' and tenant_id = target_tenant_id)
$$;
create function check_ticket_webhook_cron_scheduled() returns table (
  job_id bigint, schedule text, command text, nodename text, nodeport integer, database text, username text,
  active boolean)
language plpgsql security definer as
  $$ begin return query execute 'select * from cron.job'; end $$;
create function create_ticket_from_automation(
  p_issue text, p_location text, p_category text, p_priority text, p_user_name text, p_chat_id text, p_tenant_id uuid,
  p_designation text default null, p_department text default null, p_type text default 'Maintenance',
  p_building text default null, p_floor text default null, p_room text default null) returns json
language plpgsql security definer as $$
declare
  ticket tickets;
begin
  insert into tickets (title, description, location, category, priority, type, tenant_id, complainant_id)
  select p_issue, p_issue, p_location, p_category, p_priority, p_type, p_tenant_id, u.id
    from users u where u.tenant_id = p_tenant_id and u.telegram_chat_id = p_chat_id::numeric and u.is_active
  returning * into ticket;
  return json_build_object('success', true, 'ticket_id', ticket.id, 'ticket_number', ticket.ticket_number);
end $$;
create function verify_user_password(user_email text, user_password text)
  returns table (id uuid, email text, name text, role text) language plpgsql security definer as
  $$ begin return query execute 'select id, email, name, role from users where password_hash = $1' using user_password; end $$;

create trigger update_tenants_updated_at before update on tenants
  for each row execute function update_updated_at_column();
create trigger update_designations_updated_at before update on designations
  for each row execute function update_updated_at_column();
create trigger update_users_updated_at before update on users
  for each row execute function update_updated_at_column();
create trigger update_categories_updated_at before update on categories
  for each row execute function update_updated_at_column();
create trigger trigger_ensure_single_default_executor before insert or update of is_default_executor on executor_profiles
  for each row execute function ensure_single_default_executor();
create trigger update_executors_updated_at before update on executors
  for each row execute function update_updated_at_column();
create trigger set_ticket_number before insert on tickets
  for each row execute function generate_ticket_number();
create trigger update_tickets_updated_at before update on tickets
  for each row execute function update_updated_at_column();
create trigger trigger_enqueue_ticket_activity_webhook after insert on ticket_activities
  for each row execute function enqueue_ticket_activity_webhook();
create trigger trigger_ticket_webhook_queue_touch_updated_at before update on ticket_webhook_queue
  for each row execute function touch_ticket_webhook_queue_updated_at();
create trigger trg_executor_ticket_sessions_updated_at before update on executor_ticket_sessions
  for each row execute function set_executor_ticket_sessions_updated_at();
create trigger trg_set_telegram_message_seq before insert on telegram_messages
  for each row execute function set_telegram_message_seq();
create trigger trigger_update_rules_updated_at before update on rules
  for each row execute function update_rules_updated_at();
create trigger update_business_hours_updated_at before update on business_hours
  for each row execute function update_updated_at_column();
create trigger update_holidays_updated_at before update on holidays
  for each row execute function update_updated_at_column();

-- Row level security and rights -------------------------------------------------------------------------------------
alter table tenants enable row level security;
alter table designations enable row level security;
alter table users enable row level security;
alter table categories enable row level security;
alter table priorities enable row level security;
alter table executor_skill enable row level security;
alter table executor_skills enable row level security;
alter table executor_profiles enable row level security;
alter table executors enable row level security;
alter table tickets enable row level security;
alter table ticket_activities enable row level security;
alter table tenant_notifications enable row level security;
alter table rule_execution_logs enable row level security;
alter table business_hours enable row level security;
alter table holidays enable row level security;
create policy "System admins can delete all business hours" on business_hours for delete to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can delete tenant business hours" on business_hours for delete to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "System admins can insert all business hours" on business_hours for insert to authenticated
  with check (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can insert tenant business hours" on business_hours for insert to authenticated
  with check (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "System admins can read all business hours" on business_hours for select to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can read all tenant business hours" on business_hours for select to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read business hours for their tenant" on business_hours for select to authenticated
  using (tenant_id is null or tenant_id = get_user_tenant_id());
create policy "System admins can update all business hours" on business_hours for update to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can update tenant business hours" on business_hours for update to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Tenant admins can manage tenant categories" on categories for all to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Authenticated users can read categories" on categories for select to authenticated
  using (true);
create policy "System admins can delete all designations" on designations for delete to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can delete tenant designations" on designations for delete to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "System admins can insert all designations" on designations for insert to authenticated
  with check (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can insert tenant designations" on designations for insert to authenticated
  with check (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "System admins can read all designations" on designations for select to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can read all tenant designations" on designations for select to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read active designations for their tenant" on designations for select to authenticated
  using (active and (tenant_id is null or tenant_id = get_user_tenant_id()));
create policy "System admins can update all designations" on designations for update to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can update tenant designations" on designations for update to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Admins can manage executor profiles" on executor_profiles for all to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Tenant admins can delete tenant executor profiles" on executor_profiles for delete to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Tenant admins can create tenant executor profiles" on executor_profiles for insert to authenticated
  with check (can_tenant_admin_create_executor_profile(tenant_id));
create policy "Admins can read all executor profiles" on executor_profiles for select to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Tenant admins can read tenant executor profiles" on executor_profiles for select to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Tenant admins can update tenant executor profiles" on executor_profiles for update to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Super admin can manage all skills" on executor_skill for all to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can manage their own tenant skills" on executor_skill for all to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read skills for their tenant" on executor_skill for select to authenticated
  using (tenant_id = get_user_tenant_id());
create policy "Super admin can manage all skill assignments" on executor_skills for all to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can manage skill assignments for their tenant" on executor_skills for all to authenticated
  using (exists (select from users u where u.id = executor_user_id and u.tenant_id = get_user_tenant_id()));
create policy "Users can read skill assignments for their tenant" on executor_skills for select to authenticated
  using (exists (select from users u where u.id = executor_user_id and u.tenant_id = get_user_tenant_id()));
create policy "Executors can read own data" on executors for select to authenticated
  using (user_id = auth.uid());
create policy "System admins can delete all holidays" on holidays for delete to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can delete tenant holidays" on holidays for delete to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "System admins can insert all holidays" on holidays for insert to authenticated
  with check (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can insert tenant holidays" on holidays for insert to authenticated
  with check (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "System admins can read all holidays" on holidays for select to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can read all tenant holidays" on holidays for select to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read holidays for their tenant" on holidays for select to authenticated
  using (tenant_id is null or tenant_id = get_user_tenant_id());
create policy "System admins can update all holidays" on holidays for update to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can update tenant holidays" on holidays for update to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Tenant admins can manage tenant priorities" on priorities for all to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Anyone can read active priorities" on priorities for select to authenticated
  using (active);
create policy "Authenticated users can insert rule execution logs" on rule_execution_logs for insert to authenticated
  with check (true);
create policy "Super admin can view all rule execution logs" on rule_execution_logs for select to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can view their tenant rule execution logs" on rule_execution_logs for select to authenticated
  using (exists (select from rules r where r.id = rule_id and r.tenant_id = get_user_tenant_id()));
create policy "Super admin can manage all rules" on rules for all to authenticated
  using (exists (select from users u where u.id = auth.uid() and u.role = 'admin' and u.tenant_id is null));
create policy "Tenant admins can manage tenant rules" on rules for all to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Tenant admins can manage tenant SLA configs" on sla_configurations for all to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "service_role_can_insert_notifications" on tenant_notifications for insert to public
  with check (auth.role() = 'service_role');
create policy "admins_can_read_notifications" on tenant_notifications for select to public
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "tenant_admins_can_read_notifications" on tenant_notifications for select to public
  using (tenant_id = get_user_tenant_id() and user_id = auth.uid());
create policy "admins_can_update_notifications" on tenant_notifications for update to public
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "tenant_admins_can_update_notifications" on tenant_notifications for update to public
  using (tenant_id = get_user_tenant_id() and user_id = auth.uid());
create policy "Admins can delete tenants" on tenants for delete to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Allow anonymous tenant registration" on tenants for insert to anon, authenticated
  with check (true);
create policy "Admins can read all tenants" on tenants for select to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Allow anonymous to read tenants" on tenants for select to anon, authenticated
  using (true);
create policy "Tenant admins can read own tenant" on tenants for select to authenticated
  using (id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read own tenant" on tenants for select to authenticated
  using (id = get_user_tenant_id());
create policy "Admins can update all tenants" on tenants for update to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Tenant admins can update own tenant" on tenants for update to authenticated
  using (id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Admins can create ticket activities" on ticket_activities for insert to authenticated
  with check ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Complainants can create their ticket activities" on ticket_activities for insert to authenticated
  with check (exists (select from tickets t where t.id = ticket_id and t.complainant_id = auth.uid()));
create policy "Executors can create assigned ticket activities" on ticket_activities for insert to authenticated
  with check (exists (select from tickets t join executor_profiles p on p.id = t.executor_profile_id
    where t.id = ticket_id and p.user_id = auth.uid()));
create policy "Tenant admins can create tenant ticket activities" on ticket_activities for insert to authenticated
  with check (exists (select from tickets t where t.id = ticket_id and t.tenant_id = get_user_tenant_id()));
create policy "Admins can read all ticket activities" on ticket_activities for select to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Complainants can read their ticket activities" on ticket_activities for select to authenticated
  using (exists (select from tickets t where t.id = ticket_id and t.complainant_id = auth.uid()));
create policy "Executors can read assigned ticket activities" on ticket_activities for select to authenticated
  using (exists (select from tickets t join executor_profiles p on p.id = t.executor_profile_id
    where t.id = ticket_id and p.user_id = auth.uid()));
create policy "Tenant admins can read tenant ticket activities" on ticket_activities for select to authenticated
  using (exists (select from tickets t where t.id = ticket_id and t.tenant_id = get_user_tenant_id()));
create policy "Authenticated users can create tickets" on tickets for insert to authenticated
  with check (true);
create policy "Tenant admins can create tenant tickets" on tickets for insert to authenticated
  with check (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Executors can read assigned tickets" on tickets for select to authenticated
  using (executor_id in (select e.id from executors e where e.user_id = auth.uid()));
create policy "Tenant admins can read tenant tickets" on tickets for select to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read tickets they created" on tickets for select to authenticated
  using (complainant_id = auth.uid());
create policy "Executors can update assigned tickets" on tickets for update to authenticated
  using (executor_id in (select e.id from executors e where e.user_id = auth.uid()));
create policy "Tenant admins can update tenant tickets" on tickets for update to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Only admins can delete users" on users for delete to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Admins can insert users" on users for insert to authenticated
  with check ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Tenant admins can create tenant users" on users for insert to authenticated
  with check (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Authenticated users can read users" on users for select to authenticated
  using (true);
create policy "Tenant admins can read tenant users" on users for select to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can read own data" on users for select to authenticated
  using (id = auth.uid() or role in ('admin', 'tenant_admin'));
create policy "Admins can update all users" on users for update to authenticated
  using ((select u.role from users u where u.id = auth.uid()) = 'admin');
create policy "Tenant admins can update tenant users" on users for update to authenticated
  using (tenant_id = (select u.tenant_id from users u where u.id = auth.uid() and u.role = 'tenant_admin'));
create policy "Users can update own data" on users for update to authenticated
  using (id = auth.uid());

-- As every Supabase project gives them.
grant usage on schema public, extensions, auth to anon, authenticated, service_role;
grant all on all tables in schema public to anon, authenticated, service_role;
grant all on all sequences in schema public to anon, authenticated, service_role;
