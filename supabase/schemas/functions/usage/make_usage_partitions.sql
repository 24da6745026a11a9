-- Creates all missing partitions of api_key_usage in one transaction, and returns their names. The migrations and the owner call
-- this function. The server calls keymeter.make_usage_partition instead, because all partitions together can take longer than
-- the statement timeout of its role.
create function keymeter.make_usage_partitions(months int default 3) returns setof text
  language plpgsql volatile set search_path = ''
  as $$
declare
  v_month timestamptz;
  v_name text;
begin
  for v_month in select keymeter.missing_usage_partitions(months) loop
    v_name := keymeter.make_usage_partition(v_month);
    if v_name is not null then
      return next v_name;
    end if;
  end loop;
end
$$;
