-- What idempotency.rs writes: orders, which must not be placed twice.
create table public.orders (
  id int generated always as identity primary key,
  item text not null,
  constraint allowed check (item <> 'forbidden')
);
create table public.secrets (id int);
create table public.witnessed (moment text, role text, sub text);
create sequence public.draws;
grant select, insert, update, delete on public.orders to anon, authenticated, service_role;
grant insert on public.witnessed to anon, authenticated, service_role;
grant usage on sequence public.draws to anon;

-- Who is writing, when the row is written and when the transaction ends.
create function public.witness() returns trigger language plpgsql as $$
begin
  insert into public.witnessed values (tg_argv[0], current_user, current_setting('request.jwt.claims')::json ->> 'sub');
  if tg_argv[0] = 'at the end' and new.item = 'late' then
    raise exception 'found out at the end';
  end if;
  return null;
end
$$;
create trigger witness after insert on public.orders for each row execute function public.witness('at once');
create constraint trigger witness_late after insert on public.orders deferrable initially deferred
  for each row execute function public.witness('at the end');

create function public.buy(item text) returns public.orders language sql as
$$ insert into orders (item) values (item) returning * $$;
create function public.buy_silently(item text) returns void language sql as
$$ insert into orders (item) values (item) $$;

create function public.buy_with_headers(item text) returns public.orders language plpgsql as $$
begin
  perform set_config('response.status', '202', true),
          set_config('response.headers', '[{"Set-Cookie": "a=1"}, {"Set-Cookie": "b=2"}]', true);
  return buy(item);
end
$$;

create function public.buy_in_vain(item text) returns public.orders language plpgsql as $$
begin
  perform set_config('response.status', '409', true);
  return buy(item);
end
$$;

-- Waits for advisory lock 1. The first draw of the lottery fails.
create function public.buy_slowly(item text) returns public.orders language plpgsql as $$
begin
  perform pg_advisory_xact_lock(1);
  if item = 'lottery' and nextval('draws') = 1 then
    raise exception 'a blank';
  end if;
  return buy(item);
end
$$;
create function public.buy_slowly_serializable(item text) returns public.orders language sql
set default_transaction_isolation = 'serializable' as $$ select buy_slowly(item) $$;

create function public.fail() returns void language plpgsql as $$
begin
  perform buy('chair');
  raise sqlstate 'PT418';
end
$$;
create function public.look() returns bigint stable language sql as $$ select count(*) from orders $$;
