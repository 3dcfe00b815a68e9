-- The login of requests to this database. Only the owner reads it. One row, save in a fresh copy of another database.
create schema if not exists dropwire;

create table if not exists dropwire.login_role (
  database_name text primary key,  -- whose login it is: a copied database must not use the original's
  role_name     text not null,     -- may be set by hand where the owner cannot create roles
  password      text not null
);

revoke all on dropwire.login_role from public, anon, authenticated, service_role
