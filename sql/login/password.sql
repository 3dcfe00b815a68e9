-- Gives the login role the stored password again, after somebody or a restore from elsewhere gave it another.
do $$
declare
  login dropwire.login_role;
begin
  select * into strict login from dropwire.login_role where database_name = current_database();
  execute format('alter role %I password %L', login.role_name, login.password);
end
$$
