-- The tables of the ticket system, as the original has them: column order and every name included, since clients
-- select, embed (`users!tickets_complainant_id_fkey`) and map errors by them.
--
-- A constraint without a name here has PostgreSQL's default name (`tickets_status_check`, `tickets_tenant_id_fkey`,
-- `categories_tenant_id_name_key`), which is the name the original has; names that differ are spelled out.
-- Row level security is on everywhere and no policy exists yet, so until the policies come only the owner and
-- service_role see a row. Ticket numbers, the outbox trigger and the rules come in migrations of their own.

create type public.automation_action_type as enum (
  'assign_executor', 'set_priority', 'set_due_date', 'escalate', 'notify', 'set_status',
  'set_category_to_miscellaneous', 'assign_to_default_admin'
);
create type public.rule_type_enum as enum ('priority', 'sla', 'allocation');

create sequence public.ticket_number_seq start with 1000;

-- Tenants and people ------------------------------------------------------------------------------------------------
create table public.tenants (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  email text not null unique,
  phone text,
  address text,
  city text,
  state text,
  country text,
  postal_code text,
  contact_person text,
  subscription_status text default 'trial' check (subscription_status in ('trial', 'active', 'inactive', 'expired')),
  subscription_start_date date,
  subscription_end_date date,
  max_users integer default 10,
  active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  approved boolean default false,
  approved_at timestamptz,
  approved_by uuid,  -- references users, below
  automation_webhook_url text
);
comment on column public.tenants.active is 'False pauses the tenant''s deliveries; they wait in the queue.';
comment on column public.tenants.approved is 'Set by a platform admin. Does not hold deliveries back.';
comment on column public.tenants.automation_webhook_url is
  'Where the tenant''s ticket activities are posted. Empty: nothing is sent.';
create index idx_tenants_approved on public.tenants (approved);
create index idx_tenants_email on public.tenants (email);
create index idx_tenants_subscription_status on public.tenants (subscription_status);

create table public.designations (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  description text,
  tenant_id uuid references public.tenants on delete cascade,
  active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint unique_designation_per_tenant unique (name, tenant_id)
);
create index idx_designations_active on public.designations (active);
create index idx_designations_tenant_id on public.designations (tenant_id);

create table public.users (
  id uuid primary key default gen_random_uuid(),
  email text not null unique,
  phone text,
  department text,
  employee_id text,
  active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  tenant_id uuid references public.tenants on delete set null,
  full_name text,
  emp_code text,
  is_active boolean default true,
  role text not null check (role in ('admin', 'executor', 'complainant', 'tenant_admin')),
  telegram_chat_id numeric,
  telegram_user_id text,
  manager_id uuid references public.users on delete set null,
  designation_id uuid references public.designations on delete set null,
  bot_onboarding_status text not null default 'not_required' check (bot_onboarding_status in
    ('not_required', 'pending', 'invited', 'awaiting_chat', 'completed', 'failed', 'cancelled')),
  bot_onboarding_started_at timestamptz,
  bot_onboarding_completed_at timestamptz,
  bot_onboarding_error text,
  bot_onboarding_retry_count integer not null default 0,
  bot_deep_link text,
  bot_correlation_id uuid,
  unique (tenant_id, email),
  unique (tenant_id, emp_code)
);
comment on column public.users.id is 'The id of the account in auth.users.';
comment on column public.users.employee_id is 'Legacy and unused; emp_code holds the employee code.';
comment on column public.users.active is 'Legacy and unused; is_active decides.';
comment on column public.users.telegram_chat_id is
  'Numeric as clients expect it: a JSON number over REST, sent to webhooks as a string.';
comment on column public.users.bot_correlation_id is 'Ties an onboarding callback to the request that asked for it.';
create index idx_users_designation_id on public.users (designation_id);
create index idx_users_email on public.users (email);
create index idx_users_role on public.users (role);
create index idx_users_tenant_id on public.users (tenant_id);
create index idx_users_tenant_id_btree on public.users (tenant_id);  -- the original has both
-- Each ticket from Telegram looks its complainant up by one of these.
create index idx_users_tenant_telegram_chat_id on public.users (tenant_id, telegram_chat_id);
create index idx_users_tenant_telegram_user_id on public.users (tenant_id, telegram_user_id);

alter table public.tenants add foreign key (approved_by) references public.users on delete set null;

-- Classification ----------------------------------------------------------------------------------------------------
create table public.categories (
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
  tenant_id uuid references public.tenants on delete cascade,
  is_active boolean default true,
  unique (tenant_id, name)
);
comment on column public.categories.active is 'Legacy and unused; is_active decides.';

create table public.priorities (
  id uuid primary key default gen_random_uuid(),
  name text not null,
  level integer,
  sla_hours integer,
  color text,
  active boolean default true,
  created_at timestamptz default now(),
  tenant_id uuid references public.tenants on delete cascade,
  is_active boolean default true,
  level_order integer,
  unique (tenant_id, name)
);
comment on column public.priorities.level is 'Legacy: no client sends it; level_order holds the order.';
comment on column public.priorities.active is 'Legacy and unused; is_active decides.';

-- Executors ---------------------------------------------------------------------------------------------------------
create table public.executor_skill (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants on delete cascade,
  name text not null,
  description text,
  category uuid references public.categories on delete set null,
  is_active boolean default true,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
create index idx_executor_skill_category on public.executor_skill (category);
create index idx_executor_skill_is_active on public.executor_skill (is_active);
create index idx_executor_skill_tenant_id on public.executor_skill (tenant_id);

create table public.executor_skills (
  executor_user_id uuid not null references public.users on delete cascade,
  executor_skill_id uuid not null references public.executor_skill on delete cascade,
  primary key (executor_user_id, executor_skill_id)
);
create index idx_executor_skills_skill_id on public.executor_skills (executor_skill_id);
create index idx_executor_skills_user_id on public.executor_skills (executor_user_id);

create table public.executor_profiles (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid not null references public.tenants on delete cascade,
  user_id uuid references public.users on delete cascade,
  category_id uuid references public.categories on delete set null,
  skills uuid[] not null default '{}',
  max_concurrent_tickets integer default 10,
  availability_status text default 'available' check (availability_status in ('available', 'busy', 'offline')),
  assigned_tickets_count integer not null default 0,
  open_tickets_count integer not null default 0,
  employee_id text,
  manager_id uuid references public.users on delete set null,
  full_name text,
  email text,
  phone text,
  telegram_user_id text,
  telegram_chat_id numeric,
  is_default_executor boolean not null default false
);
comment on column public.executor_profiles.skills is 'Ids of executor_skill; some clients put category ids here.';
comment on column public.executor_profiles.max_concurrent_tickets is 'Zero or less: no limit. Null: 10.';
comment on column public.executor_profiles.open_tickets_count is
  'What was last written, for display. The load that counts is taken from tickets.';
comment on column public.executor_profiles.is_default_executor is
  'At most one per tenant: setting it clears the others.';
-- Each assignment looks at the tenant's executors.
create index idx_executor_profiles_tenant_id on public.executor_profiles (tenant_id);
create index idx_executor_profiles_is_default_executor on public.executor_profiles (tenant_id, is_default_executor)
  where is_default_executor = true;

create table public.executors (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references public.users on delete cascade,
  skills text[] default '{}',
  max_tickets integer default 10,
  current_load integer default 0,
  availability text default 'available' check (availability in ('available', 'busy', 'offline')),
  work_start time default '09:00:00',
  work_end time default '17:00:00',
  telegram_token text,
  telegram_connected boolean default false,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);
comment on table public.executors is 'Legacy: nothing reads it, executor_profiles took its place.';

-- Tickets -----------------------------------------------------------------------------------------------------------
create table public.tickets (
  id uuid primary key default gen_random_uuid(),
  ticket_number text not null unique,
  title text not null,
  description text not null,
  category text not null,
  priority text not null check (priority in ('critical', 'high', 'medium', 'low')),
  type text not null,
  status text not null default 'open' check (status in ('open', 'in-progress', 'resolved', 'closed')),
  location text not null,
  building text,
  floor text,
  room text,
  complainant_id uuid references public.users on delete set null,
  executor_id uuid,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  resolved_at timestamptz,
  due_date timestamptz,
  tenant_id uuid references public.tenants on delete set null,
  category_id uuid references public.categories on delete set null,
  sla_due_date timestamptz,
  executor_profile_id uuid references public.executor_profiles on delete set null
);
comment on column public.tickets.ticket_number is 'Given by trigger where null or empty. Opaque to clients.';
comment on column public.tickets.executor_id is
  'The users.id of the executor. No foreign key: with a second one to users every embed without a hint is ambiguous.';
create index idx_tickets_executor_profile_id on public.tickets (executor_profile_id);
create index idx_tickets_tenant_id on public.tickets (tenant_id);
-- An executor's load is counted on every assignment, and most tickets are closed.
create index idx_tickets_executor_open on public.tickets (executor_profile_id)
  where status in ('open', 'in-progress') and executor_profile_id is not null;

create table public.ticket_activities (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references public.tickets on delete cascade,
  tenant_id uuid references public.tenants on delete set null,
  activity_type text not null check (activity_type in
    ('reassignment', 'priority_change', 'sla_change', 'admin_comment', 'complainant_comment', 'executor_update',
     'status_change')),
  comment text,
  created_by uuid references public.users on delete set null,
  created_at timestamptz default now(),
  metadata jsonb
);
create index idx_ticket_activities_activity_type on public.ticket_activities (activity_type);
create index idx_ticket_activities_created_at on public.ticket_activities (created_at desc);
create index idx_ticket_activities_created_by on public.ticket_activities (created_by);
create index idx_ticket_activities_tenant_id on public.ticket_activities (tenant_id);
create index idx_ticket_activities_ticket_id on public.ticket_activities (ticket_id);

-- The outbox. Columns from seq on are ours; clients that list their columns never see them.
create table public.ticket_webhook_queue (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references public.tickets on delete cascade,
  activity_id uuid references public.ticket_activities on delete cascade,
  tenant_id uuid not null references public.tenants on delete cascade,
  status text not null default 'pending' check (status in ('pending', 'processing', 'delivered', 'failed')),
  attempt_count integer not null default 0,
  last_error text,
  next_attempt_at timestamptz default now(),
  payload jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  seq bigint generated always as identity,
  origin text not null default 'client' check (origin in ('creation', 'trigger', 'client')),
  lease_expires_at timestamptz,
  claim_id uuid
);
comment on column public.ticket_webhook_queue.activity_id is
  'Null where the entry tells of the ticket itself, as after creation.';
comment on column public.ticket_webhook_queue.status is
  'failed means due again at next_attempt_at; only delivered is final.';
comment on column public.ticket_webhook_queue.attempt_count is 'Attempts begun, the running one included.';
comment on column public.ticket_webhook_queue.last_error is
  'Why the last attempt failed, cut to 500 characters; may quote the receiver.';
comment on column public.ticket_webhook_queue.next_attempt_at is
  'When the entry is due, by the database''s clock. Null once delivered.';
comment on column public.ticket_webhook_queue.payload is
  'What was asked to be told; once delivered, the JSON that was sent.';
comment on column public.ticket_webhook_queue.seq is
  'Order of delivery within a ticket. created_at cannot be it: entries of one transaction share theirs.';
comment on column public.ticket_webhook_queue.origin is
  'Who wrote the entry: creation (the server, for a new ticket), trigger (a new activity) or client (anyone else).';
comment on column public.ticket_webhook_queue.lease_expires_at is
  'Until when the entry belongs to the worker that claimed it; later that worker counts as dead. '
  'Null on a processing entry: left behind by the original, nobody claims it again.';
comment on column public.ticket_webhook_queue.claim_id is
  'The claim that may record the outcome; another claim means the worker was too late.';
create index ticket_webhook_queue_status_next_attempt_idx on public.ticket_webhook_queue (status, next_attempt_at);
create index ticket_webhook_queue_tenant_idx on public.ticket_webhook_queue (tenant_id);
-- What the dispatcher has to look at, oldest first. Delivered entries pile up and cost it nothing.
create index ticket_webhook_queue_undelivered_seq_idx on public.ticket_webhook_queue (seq)
  where status <> 'delivered';
-- A ticket's entries in order: whether an earlier one is undelivered, which comes next, and the ticket's own delete.
create index ticket_webhook_queue_ticket_seq_idx on public.ticket_webhook_queue (ticket_id, seq);
-- Deleting a ticket deletes its activities one by one, and each looks here.
create index ticket_webhook_queue_activity_idx on public.ticket_webhook_queue (activity_id);

create table public.tenant_notifications (
  id uuid primary key default gen_random_uuid(),  -- uuid_generate_v4() where it can be reached, below
  tenant_id uuid not null references public.tenants on delete cascade,
  user_id uuid references public.users on delete set null,
  triggered_by uuid references public.users on delete set null,
  type text not null,
  title text not null,
  message text not null,
  level text not null default 'info',
  status text not null default 'unread',
  metadata jsonb,
  created_at timestamptz not null default now(),
  read_at timestamptz
);
comment on column public.tenant_notifications.user_id is 'Whom the notification is about, not who reads it.';
create index tenant_notifications_status_idx on public.tenant_notifications (tenant_id, status);
create index tenant_notifications_tenant_id_idx on public.tenant_notifications (tenant_id, created_at desc);

-- The original's default is uuid_generate_v4(). A database that had uuid-ossp keeps it in the schema it was put in, and
-- the owner may have no usage there; gen_random_uuid() gives the same kind of value.
do $$
declare
  home name;
begin
  select n.nspname
    into home
    from pg_catalog.pg_extension e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace
   where e.extname = 'uuid-ossp' and has_schema_privilege(n.oid, 'usage');
  if found then
    execute format('alter table public.tenant_notifications alter column id set default %I.uuid_generate_v4()', home);
  end if;
end
$$;

-- Telegram ----------------------------------------------------------------------------------------------------------
create table public.executor_ticket_sessions (
  id uuid primary key default gen_random_uuid(),
  ticket_id uuid not null references public.tickets on delete cascade,
  executor_profile_id uuid references public.executor_profiles on delete set null,
  executor_user_id uuid references public.users on delete set null,
  telegram_chat_id text not null,
  telegram_message_id bigint,
  prompt_message_id bigint,
  session_type text not null check (session_type in ('update', 'status_change')),
  state text not null default 'awaiting_input' check (state in ('awaiting_input', 'completed', 'cancelled', 'expired')),
  expires_at timestamptz,
  metadata jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index idx_executor_ticket_sessions_chat on public.executor_ticket_sessions (telegram_chat_id);
create index idx_executor_ticket_sessions_ticket on public.executor_ticket_sessions (ticket_id);
create unique index uidx_executor_ticket_sessions_active
  on public.executor_ticket_sessions (telegram_chat_id, ticket_id)
  where state = 'awaiting_input';

create table public.telegram_messages (
  id uuid primary key default gen_random_uuid(),
  chat_id text not null,
  ticket_id uuid references public.tickets on delete set null,
  tenant_id uuid references public.tenants on delete set null,
  message_text text,
  created_at timestamptz not null default now(),
  message_seq integer not null default 1
);
comment on column public.telegram_messages.message_seq is
  'Position among the chat''s messages without a ticket. Only an explicit null is numbered; left out it is 1.';
create index idx_telegram_messages_chat_seq on public.telegram_messages (chat_id, message_seq desc);

-- Rules -------------------------------------------------------------------------------------------------------------
create table public.rules (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid constraint allocation_rules_tenant_id_fkey references public.tenants on delete cascade,
  rule_name text not null,
  priority_order integer not null default 999,
  is_active boolean not null default true,
  executor_pool uuid[],
  assignment_strategy text,
  trigger_event varchar(50) not null default 'on_create'
    constraint check_trigger_event check (trigger_event in ('on_create', 'on_update', 'on_manual', 'on_status_change')),
  stop_on_match boolean default false,
  max_executions integer,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  rule_type public.rule_type_enum not null default 'allocation'
);
comment on column public.rules.executor_pool is 'Deprecated; the parameters of assign_executor say it.';
comment on column public.rules.assignment_strategy is 'Deprecated; the parameters of assign_executor say it.';
comment on column public.rules.stop_on_match is 'Ends the rules of this rule_type, not the whole run.';
create index idx_rules_is_active on public.rules (is_active);
create index idx_rules_priority_order on public.rules (priority_order);
create index idx_rules_rule_type on public.rules (rule_type);
create index idx_rules_tenant_id on public.rules (tenant_id);
create index idx_rules_trigger_event on public.rules (trigger_event);

create table public.conditions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants on delete cascade,
  rule_id uuid not null references public.rules on delete cascade,
  field_path text not null,
  operator varchar(50) not null constraint check_operator check (operator in
    ('equals', 'not_equals', 'contains', 'not_contains', 'in', 'not_in', 'greater_than', 'less_than',
     'greater_than_or_equal', 'less_than_or_equal', 'between', 'is_null', 'is_not_null', 'regex', 'starts_with',
     'ends_with')),
  value text[] not null default '{}',
  sequence integer not null default 1,
  group_id uuid,
  logical_operator varchar(10)
    constraint check_logical_operator check (logical_operator is null or logical_operator in ('AND', 'OR'))
);
comment on column public.conditions.logical_operator is
  'Joins the condition to the one before it in its group; null is AND.';
create index idx_conditions_group_id on public.conditions (group_id);
create index idx_conditions_rule_id on public.conditions (rule_id);
create index idx_conditions_sequence on public.conditions (sequence);
create index idx_conditions_tenant_id on public.conditions (tenant_id);

create table public.actions (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants on delete cascade,
  rule_id uuid not null references public.rules on delete cascade,
  action_type public.automation_action_type not null,
  action_params jsonb not null default '{}',
  step_order integer not null default 1,
  trigger_after_minutes integer,
  action_condition text
);
comment on column public.actions.trigger_after_minutes is 'Stored for clients; actions run at once.';
comment on column public.actions.action_condition is 'Stored for clients; always taken as true.';
create index idx_actions_rule_id on public.actions (rule_id);
create index idx_actions_step_order on public.actions (step_order);
create index idx_actions_tenant_id on public.actions (tenant_id);

create table public.rule_execution_logs (
  id uuid primary key default gen_random_uuid(),
  rule_id uuid not null references public.rules on delete cascade,
  ticket_id uuid not null references public.tickets on delete cascade,
  execution_status varchar(20) not null check (execution_status in ('success', 'failed', 'skipped')),
  matched_conditions jsonb,
  actions_executed jsonb,
  error_message text,
  execution_time_ms integer,
  created_at timestamptz default now()
);
comment on column public.rule_execution_logs.matched_conditions is
  'On success: condition id to the condition and its result.';
create index idx_rule_execution_logs_created_at on public.rule_execution_logs (created_at);
create index idx_rule_execution_logs_rule_id on public.rule_execution_logs (rule_id);
create index idx_rule_execution_logs_status on public.rule_execution_logs (execution_status);
create index idx_rule_execution_logs_ticket_id on public.rule_execution_logs (ticket_id);

-- Working time ------------------------------------------------------------------------------------------------------
create table public.business_hours (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants on delete cascade,
  day_of_week text not null check (day_of_week in
    ('Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday')),
  is_working_day boolean default false,
  start_time time,
  end_time time,
  timezone text default 'UTC+05:30 (IST)',
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint unique_day_per_tenant unique (day_of_week, tenant_id)
);
comment on column public.business_hours.timezone is
  'A label such as UTC+05:30 (IST), not a zone name; only the offset in it counts.';
create index idx_business_hours_day on public.business_hours (day_of_week);
create index idx_business_hours_tenant_id on public.business_hours (tenant_id);

create table public.holidays (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants on delete cascade,
  date date not null,
  name text not null,
  created_at timestamptz default now(),
  updated_at timestamptz default now(),
  constraint unique_holiday_per_tenant unique (date, tenant_id)
);
create index idx_holidays_date on public.holidays (date);
create index idx_holidays_tenant_id on public.holidays (tenant_id);

create table public.sla_configurations (
  id uuid primary key default gen_random_uuid(),
  tenant_id uuid references public.tenants on delete cascade
);
comment on table public.sla_configurations is 'Legacy: nothing reads it.';

-- Triggers ----------------------------------------------------------------------------------------------------------
-- A trigger needs execute on its function when it is created, not when it fires: all of them are revoked at the end.
create function public.update_updated_at_column() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;

-- The original has one of these per area. They do the same and stay, so that its migrations find what they name.
create function public.update_rules_updated_at() returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;

create function public.set_executor_ticket_sessions_updated_at()
  returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;

create function public.touch_ticket_webhook_queue_updated_at()
  returns trigger language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;

create trigger update_tenants_updated_at before update on public.tenants
  for each row execute function public.update_updated_at_column();
create trigger update_users_updated_at before update on public.users
  for each row execute function public.update_updated_at_column();
create trigger update_designations_updated_at before update on public.designations
  for each row execute function public.update_updated_at_column();
create trigger update_categories_updated_at before update on public.categories
  for each row execute function public.update_updated_at_column();
create trigger update_executors_updated_at before update on public.executors
  for each row execute function public.update_updated_at_column();
create trigger update_tickets_updated_at before update on public.tickets
  for each row execute function public.update_updated_at_column();
create trigger update_business_hours_updated_at before update on public.business_hours
  for each row execute function public.update_updated_at_column();
create trigger update_holidays_updated_at before update on public.holidays
  for each row execute function public.update_updated_at_column();
create trigger trigger_update_rules_updated_at before update on public.rules
  for each row execute function public.update_rules_updated_at();
create trigger trg_executor_ticket_sessions_updated_at before update on public.executor_ticket_sessions
  for each row execute function public.set_executor_ticket_sessions_updated_at();
create trigger trigger_ticket_webhook_queue_touch_updated_at before update on public.ticket_webhook_queue
  for each row execute function public.touch_ticket_webhook_queue_updated_at();

-- Two sessions that choose a default at the same time do not see each other's choice. The lock makes the second wait
-- for the first to commit, and its update then sees the row: the last one wins, as it does one after the other.
create function public.ensure_single_default_executor() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.is_default_executor then
    perform pg_advisory_xact_lock(hashtextextended('executor_profiles.is_default_executor ' || new.tenant_id, 0));
    -- Sets false, so that this trigger does nothing for the rows it touches.
    update public.executor_profiles
       set is_default_executor = false
     where tenant_id = new.tenant_id and id <> new.id and is_default_executor;
  end if;
  return new;
end
$$;
create trigger trigger_ensure_single_default_executor before insert or update of is_default_executor
  on public.executor_profiles for each row execute function public.ensure_single_default_executor();

-- Counts within the messages that have no ticket yet, so a chat starts at 1 again once its messages became one.
create function public.set_telegram_message_seq() returns trigger language plpgsql set search_path = '' as $$
begin
  if new.message_seq is null then
    -- A chat's messages arrive close together, and two that number themselves at once would take the same number.
    perform pg_advisory_xact_lock(hashtextextended('telegram_messages.message_seq ' || new.chat_id, 0));
    select coalesce(max(m.message_seq), 0) + 1
      into new.message_seq
      from public.telegram_messages m
     where m.chat_id = new.chat_id and m.ticket_id is null;
  end if;
  return new;
end
$$;
create trigger trg_set_telegram_message_seq before insert on public.telegram_messages
  for each row execute function public.set_telegram_message_seq();

-- Besides PUBLIC the two roles are named, because Supabase's default privileges give them execute on new functions.
revoke execute on function
  public.update_updated_at_column(),
  public.update_rules_updated_at(),
  public.set_executor_ticket_sessions_updated_at(),
  public.touch_ticket_webhook_queue_updated_at(),
  public.ensure_single_default_executor(),
  public.set_telegram_message_seq()
from public, anon, authenticated;

-- Row level security and grants -------------------------------------------------------------------------------------
alter table public.tenants enable row level security;
alter table public.designations enable row level security;
alter table public.users enable row level security;
alter table public.categories enable row level security;
alter table public.priorities enable row level security;
alter table public.executor_skill enable row level security;
alter table public.executor_skills enable row level security;
alter table public.executor_profiles enable row level security;
alter table public.executors enable row level security;
alter table public.tickets enable row level security;
alter table public.ticket_activities enable row level security;
alter table public.ticket_webhook_queue enable row level security;
alter table public.tenant_notifications enable row level security;
alter table public.executor_ticket_sessions enable row level security;
alter table public.telegram_messages enable row level security;
alter table public.rules enable row level security;
alter table public.conditions enable row level security;
alter table public.actions enable row level security;
alter table public.rule_execution_logs enable row level security;
alter table public.business_hours enable row level security;
alter table public.holidays enable row level security;
alter table public.sla_configurations enable row level security;

-- Up to PostgreSQL 14 public belongs to the superuser: another owner gets a warning here, and PUBLIC has usage anyway.
grant usage on schema public to anon, authenticated, service_role;

-- By name and not `all tables in schema`, which would also reach for what extensions and other people keep in public.
grant all on
  public.tenants, public.designations, public.users, public.categories, public.priorities, public.executor_skill,
  public.executor_skills, public.executor_profiles, public.executors, public.tickets, public.ticket_activities,
  public.ticket_webhook_queue, public.tenant_notifications, public.executor_ticket_sessions, public.telegram_messages,
  public.rules, public.conditions, public.actions, public.rule_execution_logs, public.business_hours, public.holidays,
  public.sla_configurations
to service_role;
grant all on sequence public.ticket_number_seq, public.ticket_webhook_queue_seq_seq to service_role;

-- service_role sees everything: by its attribute, or, where the owner could not give it that (0001), by policy.
do $$
declare
  guarded text;
begin
  if not (select rolbypassrls from pg_catalog.pg_roles where rolname = 'service_role') then
    foreach guarded in array '{
      tenants, designations, users, categories, priorities, executor_skill, executor_skills, executor_profiles,
      executors, tickets, ticket_activities, ticket_webhook_queue, tenant_notifications, executor_ticket_sessions,
      telegram_messages, rules, conditions, actions, rule_execution_logs, business_hours, holidays,
      sla_configurations}'::text[]
    loop
      execute format('create policy "service_role sees everything" on public.%I to service_role using (true)', guarded);
    end loop;
  end if;
end
$$;
