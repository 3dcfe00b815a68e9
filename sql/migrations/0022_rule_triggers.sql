-- The rule engine, part six: when rules run.

-- The engine's one entry. Never raises: what fails even rule by rule is told in the server's log.
--
-- Without a search_path of its own (see write_rule_effects); all names are qualified, and what decides has one.
create function dropwire.run_rules(p_ticket_id uuid, p_events text[]) returns void
language plpgsql volatile security definer as $$
declare
  v_ticket public.tickets;
  v_run record;
  v_set pg_catalog.text;
begin
  v_set := pg_catalog.set_config('dropwire.actor', 'rules', true);
  begin
    select t.* into v_ticket from public.tickets t where t.id operator(pg_catalog.=) p_ticket_id;
    v_run := dropwire.run_at_once(v_ticket, p_events, '{}'::pg_catalog.uuid[]);
    if v_run.is_changed or pg_catalog.cardinality(v_run.logs) operator(pg_catalog.>) 0 then
      perform dropwire.write_rule_effects(
        v_run.ticket, v_run.is_changed, v_run.changes, v_run.logs, v_run.notices, v_run.waits, v_run.ran);
    end if;
  exception when others then
    begin
      perform dropwire.run_one_by_one(v_ticket, p_events, false);
    exception when others then
      raise warning 'rules of ticket % did not run: %', p_ticket_id, sqlerrm;
    end;
  end;
  v_set := pg_catalog.set_config('dropwire.actor', '', true);
end
$$;

-- Triggers ------------------------------------------------------------------------------------------------------------
-- What the engine writes it tells itself, in one statement: the triggers that tell of others' changes pass it by.
create or replace function dropwire.ticket_changed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c dropwire.ticket_change;
begin
  foreach c in array dropwire.ticket_changes(old, new) loop
    perform dropwire.record_change(new, c.activity_type, c.comment, c.metadata);
  end loop;
  return null;
end
$$;
drop trigger trigger_ticket_changed on public.tickets;
create trigger trigger_ticket_changed after update on public.tickets
  for each row
  when ((old.status is distinct from new.status
      or old.priority is distinct from new.priority
      or old.due_date is distinct from new.due_date
      or old.sla_due_date is distinct from new.sla_due_date
      or old.executor_profile_id is distinct from new.executor_profile_id
      or old.executor_id is distinct from new.executor_id)
    and current_setting('dropwire.actor', true) is distinct from 'rules')
  execute function dropwire.ticket_changed();
drop trigger trigger_enqueue_ticket_activity_webhook on public.ticket_activities;
create trigger trigger_enqueue_ticket_activity_webhook after insert on public.ticket_activities
  for each row when (current_setting('dropwire.actor', true) is distinct from 'rules')
  execute function public.enqueue_ticket_activity_webhook();

-- Entries behind the first one of a new ticket, which the same transaction has queued, change nothing about its head.
drop trigger trigger_webhook_queued on public.ticket_webhook_queue;
create trigger trigger_webhook_queued after insert on public.ticket_webhook_queue
  for each row
  when (new.status <> 'delivered' and (new.status <> 'processing' or new.lease_expires_at is not null)
    and (new.origin <> 'trigger' or current_setting('dropwire.new_ticket', true) is distinct from new.ticket_id::text))
  execute function dropwire.webhook_queued();

-- A new ticket: its creation entry first, then the rules, whose activities queue behind it. Nobody else can see
-- the ticket yet, so the entry needs no lock. Payloads are read when sent: Make sees the state after the rules.
--
-- Without a search_path of its own, like what calls it on the path of every new ticket (see 0006).
create or replace function dropwire.ticket_created() returns trigger
language plpgsql volatile security definer set enable_seqscan = off as $$
declare
  v_has_rules boolean;
  v_set pg_catalog.text;
begin
  if new.tenant_id is not null then
    -- One statement for all. Rules are looked for here rather than in run_rules: most tickets then cost two index
    -- probes and no further call.
    with creation as (
      insert into public.ticket_webhook_queue (ticket_id, tenant_id, origin)
      values (new.id, new.tenant_id, 'creation')
    )
    select exists (select from dropwire.rule_sets s
                    where s.tenant_id operator(pg_catalog.=) new.tenant_id and s.superseded_at is null
                      and s.event operator(pg_catalog.=) 'on_create')
        or exists (select from dropwire.executor_load l
                    where l.tenant_id operator(pg_catalog.=) new.tenant_id and l.is_default)
      into v_has_rules;
    if v_has_rules then
      -- Its first entry stands until the commit: what rules queue behind it needs no look at the head.
      v_set := pg_catalog.set_config('dropwire.new_ticket', new.id::pg_catalog.text, true);
      perform dropwire.run_rules(new.id, '{on_create}'::pg_catalog.text[]);
      v_set := pg_catalog.set_config('dropwire.new_ticket', '', true);
    end if;
  end if;
  return null;
end
$$;

create function dropwire.ticket_updated() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  v_events text[] := '{}';
begin
  if old.status is distinct from new.status or old.executor_profile_id is distinct from new.executor_profile_id
     or old.executor_id is distinct from new.executor_id then
    v_events := v_events || 'on_status_change'::text;
  end if;
  -- Any other column, also of somebody's own; not the marks that a change leaves by itself.
  if to_jsonb(old) - '{status,executor_profile_id,executor_id,resolved_at,updated_at}'::text[]
     <> to_jsonb(new) - '{status,executor_profile_id,executor_id,resolved_at,updated_at}'::text[] then
    v_events := v_events || 'on_update'::text;
  end if;
  if exists (select from dropwire.rule_sets s
              where s.tenant_id = new.tenant_id and s.superseded_at is null and s.event = any (v_events)) then
    perform dropwire.run_rules(new.id, v_events);
  end if;
  return null;
end
$$;
-- By name after trigger_ticket_changed: the change first, then what rules make of it.
create trigger trigger_ticket_rules after update on public.tickets
  for each row when (new.tenant_id is not null and current_setting('dropwire.actor', true) is distinct from 'rules')
  execute function dropwire.ticket_updated();

drop function dropwire.run_rules(uuid, uuid, text);
drop function dropwire.apply_action(uuid, public.actions);
drop function dropwire.assign_by_skill(uuid, jsonb);
drop function dropwire.skilled_executors(uuid, jsonb);
drop function dropwire.log_rule(uuid, uuid, text, timestamptz, jsonb, jsonb, text);
drop function dropwire.evaluate_rule(uuid, jsonb);
drop function dropwire.condition_holds(text, text, text[]);
drop function dropwire.field_text(jsonb, text);
drop function dropwire.rule_context(uuid);

-- Indexes ---------------------------------------------------------------------------------------------------------------
-- Rules write three rows where there was one. These indexes of the original's served no query that a smaller one does
-- not: an activity type or a status selects next to nothing, rows come in the order of their time, and what the engine
-- writes has no author.
drop index public.idx_ticket_activities_activity_type, public.idx_ticket_activities_created_at,
  public.idx_ticket_activities_created_by, public.idx_rule_execution_logs_created_at, public.idx_rule_execution_logs_status;
create index idx_ticket_activities_created_at on public.ticket_activities using brin (created_at);
create index idx_ticket_activities_created_by on public.ticket_activities (created_by) where created_by is not null;
create index idx_rule_execution_logs_created_at on public.rule_execution_logs using brin (created_at);
create index idx_rule_execution_logs_status on public.rule_execution_logs (execution_status, created_at)
  where execution_status <> 'success';

revoke execute on all functions in schema dropwire from public;

-- The number's trigger runs in the same insert. Whether a number is taken is to be asked of its index, also by a session
-- that asked first while there was hardly a ticket: the plan that was best then reads the whole table, and stays.
alter function public.generate_ticket_number() set enable_seqscan = off;
