-- Calls the dispatcher each minute from the database itself, with Supabase Cron (pg_cron and pg_net), as the original's
-- `ticket-activity-webhook-dispatcher` did. Run it once, in the database that pg_cron works in. Only needed for
-- `dropwire serve --no-dispatch`: the built-in dispatcher needs no schedule, and both together do no harm.
--
-- First put the two values into the Vault, so that neither stands in cron.job:
--   select vault.create_secret('https://tickets.example.com', 'dropwire_url');
--   select vault.create_secret('<service_role key>', 'dropwire_service_role_key');
--
-- Running it again changes the schedule instead of adding another. To end it:
--   select cron.unschedule('ticket-activity-webhook-dispatcher'), cron.unschedule('dropwire-housekeeping');
create extension if not exists pg_cron;
create extension if not exists pg_net;

select cron.schedule('ticket-activity-webhook-dispatcher', '* * * * *', $job$
  select net.http_post(
    url := rtrim(u.decrypted_secret, '/') || '/functions/v1/ticket-activity-webhook',
    headers := jsonb_build_object('Content-Type', 'application/json', 'Authorization', 'Bearer ' || k.decrypted_secret),
    body := '{}'::jsonb,
    timeout_milliseconds := 55000)
    from vault.decrypted_secrets u, vault.decrypted_secrets k
   where u.name = 'dropwire_url' and k.name = 'dropwire_service_role_key'
$job$);

-- Removes delivered webhooks after 30 days, a slice at a time.
select cron.schedule('dropwire-housekeeping', '7 * * * *', $job$
  select dropwire.prune_webhooks(interval '30 days', 50000)
$job$);
