-- The rule engine, part one: conditions, what each of them means.
--
-- Meanings follow the original's JavaScript: String(x), Number(x), toLowerCase(), RegExp(.., 'i').

alter table dropwire.settings
  add column log_skipped_rules boolean not null default false,
  add column ungrouped_conditions text not null default 'one group'
    check (ungrouped_conditions in ('one group', 'a group each'));
comment on column dropwire.settings.log_skipped_rules is
  'Whether rules that do not match, or have reached max_executions, are logged as skipped, as the original does.';
comment on column dropwire.settings.ungrouped_conditions is
  'one group: conditions without group_id combine left to right by AND/OR, as the original''s screen shows. '
  'a group each: all of them must hold, whatever their AND/OR says, as the original computes.';

-- Text and numbers --------------------------------------------------------------------------------------------------
-- Folding and case-insensitive matching beyond ASCII, also where the database's own locale is C.
do $$
begin
  create collation dropwire.folding (provider = icu, locale = 'und');
exception when others then
  begin
    create collation dropwire.folding (provider = libc, locale = 'C.UTF-8');
  exception when others then
    create collation dropwire.folding from pg_catalog."C";
  end;
end
$$;

create function dropwire.fold(p_text text) returns text
language sql immutable parallel safe as $$
  select pg_catalog.lower(p_text collate dropwire.folding) collate "C"
$$;

-- String(x): an array is its elements between commas.
create function dropwire.js_text(p_value jsonb) returns text
language plpgsql immutable parallel safe as $$
begin
  case pg_catalog.jsonb_typeof(p_value)
    when 'number' then
      return pg_catalog.trim_scale((p_value #>> '{}')::numeric)::text;
    when 'array' then
      return (select coalesce(pg_catalog.string_agg(coalesce(dropwire.js_text(e), ''), ',' order by n), '')
                from pg_catalog.jsonb_array_elements(p_value) with ordinality as elements (e, n));
    when 'object' then
      return '[object Object]';
    else
      return p_value #>> '{}';  -- null stays null
  end case;
end
$$;

-- Number(text), null where that is NaN.
create function dropwire.js_number(p_text text) returns double precision
language plpgsql immutable parallel safe as $$
declare
  -- JavaScript's white space, which Number() trims.
  v_text text := pg_catalog.btrim(p_text, E' \t\n\u000b\f\r\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006'
                                          '\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000\ufeff');
  v_base int;
  v_number double precision := 0;
begin
  if v_text = '' then
    return 0;
  elsif v_text ~ '^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$' then
    begin
      return v_text::double precision;
    exception when numeric_value_out_of_range then
      return case when v_text ~ '[eE]-' then '0' when v_text ~ '^-' then '-Infinity' else 'Infinity' end::double precision;
    end;
  elsif v_text ~ '^[+-]?Infinity$' then
    return v_text::double precision;
  elsif v_text ~* '^0(x[0-9a-f]+|o[0-7]+|b[01]+)$' and pg_catalog.length(v_text) <= 200 then
    v_base := case pg_catalog.lower(pg_catalog.substr(v_text, 2, 1)) when 'x' then 16 when 'o' then 8 else 2 end;
    for i in 3 .. pg_catalog.length(v_text) loop
      v_number := v_number * v_base
        + pg_catalog.strpos('0123456789abcdef', pg_catalog.lower(pg_catalog.substr(v_text, i, 1))) - 1;
    end loop;
    return v_number;
  end if;
  return null;
end
$$;

-- Number(x) of a field.
create function dropwire.js_number(p_value jsonb) returns double precision
language sql immutable parallel safe as $$
  select case pg_catalog.jsonb_typeof(p_value)
    when 'boolean' then case when p_value = 'true' then 1 else 0 end::double precision
    when 'object' then null
    else dropwire.js_number(dropwire.js_text(p_value))
  end
$$;

-- Regular expressions -----------------------------------------------------------------------------------------------
-- Translates a JavaScript pattern into one of PostgreSQL's that means the same, or says why it is refused. Without
-- backreferences PostgreSQL matches by automaton, in time linear in the text; what could still run away is refused
-- too: lookarounds inside lookarounds, and repetitions that multiply to a large automaton.
create function dropwire.translate_regex(p_pattern text, out pattern text, out problem text)
language plpgsql immutable parallel safe as $$
declare
  c_spaces constant text := ' \t\n\v\f\r\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff';
  c_longest constant int := 1000;
  c_largest constant int := 2000;  -- states, about
  v_at int := 1;
  v_rest text;
  v_part text;
  v_char text;
  v_escape text[];
  v_in_class boolean := false;
  v_negated boolean;
  v_class text;       -- what a class lists
  v_excluded text[];  -- classes of which it has the complement: \D, \W, \S
  v_after_set boolean;  -- whether \d, \w or \s came just before
  v_sizes int[] := '{0}';
  v_is_around boolean[] := '{false}';
  v_size int := 0;    -- of the last atom
  v_bounds text[];
begin
  if pg_catalog.length(p_pattern) > c_longest then
    raise exception 'longer than % characters', c_longest;
  end if;
  pattern := '';
  while v_at <= pg_catalog.length(p_pattern) loop
    v_rest := pg_catalog.substr(p_pattern, v_at);
    v_char := pg_catalog.left(v_rest, 1);
    v_part := null;

    if v_char = '\' then
      v_escape := pg_catalog.regexp_match(v_rest, '^\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|c[A-Za-z]|.)');
      if v_escape is null then
        raise exception 'ends in a backslash';
      end if;
      v_char := v_escape[1];
      v_at := v_at + 1 + pg_catalog.length(v_char);
      case
        when v_char ~ '^[1-9]$' or v_char = 'k' then
          raise exception 'has a backreference';
        when v_char in ('0', 'u0000', 'x00') then
          raise exception 'names the character U+0000';
        when v_char in ('d', 'w', 's') then
          v_part := case v_char when 'd' then '0-9' when 'w' then 'A-Za-z0-9_' else c_spaces end;
          if v_in_class then
            v_class := v_class || v_part;
            v_after_set := true;
            continue;
          end if;
          v_part := '[' || v_part || ']';
        when v_char in ('D', 'W', 'S') then
          v_part := case v_char when 'D' then '0-9' when 'W' then 'A-Za-z0-9_' else c_spaces end;
          if v_in_class then
            v_excluded := v_excluded || v_part;
            continue;
          end if;
          v_part := '[^' || v_part || ']';
        when v_char = 'b' then
          v_part := case when v_in_class then '\u0008' else '\y' end;
        when v_char = 'B' and not v_in_class then
          pattern := pattern || '\Y';
          continue;
        when v_char ~ '^x..' then
          v_part := '\u00' || pg_catalog.substr(v_char, 2);
        when v_char ~ '^(u....|c.)$' or v_char in ('n', 'r', 't', 'v', 'f') then
          v_part := '\' || v_char;
        when v_char ~ '^[A-Za-z0-9_]$' then
          v_part := v_char;  -- JavaScript escapes anything
        else
          v_part := '\' || v_char;
      end case;
      if v_in_class then
        v_class := v_class || v_part;
        v_after_set := false;
      else
        pattern := pattern || v_part;
        v_size := 1;
        v_sizes[pg_catalog.cardinality(v_sizes)] := v_sizes[pg_catalog.cardinality(v_sizes)] + 1;
      end if;
      continue;
    end if;

    if v_in_class then
      v_at := v_at + 1;
      if v_char <> ']' then
        -- A minus beside a set of characters is no range.
        v_class := v_class || case
          when v_char in ('[', '^') or v_char = '-' and (v_after_set or v_rest ~ '^-\\[dwsDWS]') then '\' || v_char
          else v_char end;
        v_after_set := false;
        continue;
      end if;
      v_in_class := false;
      v_part := case
        when v_class = '' and v_excluded = '{}' then case when v_negated then '(?:.|\n)' else '(?:$.)' end
        when v_excluded = '{}' then pg_catalog.format('[%s%s]', case when v_negated then '^' end, v_class)
        -- Not in any of the excluded ones, or listed; and the opposite of that.
        when v_negated then
          '(?:' || case when v_class <> '' then pg_catalog.format('(?![%s])', v_class) else '' end
                || coalesce((select pg_catalog.string_agg(pg_catalog.format('(?=[%s])', x), '')
                               from pg_catalog.unnest(v_excluded[2:]) x), '')
                || pg_catalog.format('[%s])', v_excluded[1])
        else
          '(?:' || (select pg_catalog.string_agg(pg_catalog.format('[^%s]', x), '|') from pg_catalog.unnest(v_excluded) x)
                || case when v_class <> '' then pg_catalog.format('|[%s]', v_class) else '' end || ')'
      end;
    elsif v_char = '[' then
      v_negated := v_rest like '[^%';
      v_at := v_at + case when v_negated then 2 else 1 end;
      v_in_class := true;
      v_class := '';
      v_excluded := '{}';
      v_after_set := false;
      continue;
    elsif v_char = '(' then
      v_part := (pg_catalog.regexp_match(v_rest, '^\((\?(?:[:=!]|<[=!]|<[A-Za-z_$][A-Za-z0-9_$]*>))?'))[1];
      if v_rest like '(?%' and v_part is null then
        raise exception 'has a group that starts with (? and something unknown';
      end if;
      v_at := v_at + 1 + coalesce(pg_catalog.length(v_part), 0);
      if v_part in ('?=', '?!', '?<=', '?<!') then
        if true = any (v_is_around) then
          raise exception 'has a lookaround inside a lookaround';
        end if;
        v_is_around := v_is_around || true;
        pattern := pattern || '(' || v_part;
      else
        v_is_around := v_is_around || false;
        pattern := pattern || '(?:';
      end if;
      v_sizes := v_sizes || 0;
      continue;
    elsif v_char = ')' then
      if pg_catalog.cardinality(v_sizes) = 1 then
        raise exception 'closes a group that is not open';
      end if;
      v_size := v_sizes[pg_catalog.cardinality(v_sizes)] + 1;
      v_sizes := v_sizes[:pg_catalog.cardinality(v_sizes) - 1];
      v_is_around := v_is_around[:pg_catalog.cardinality(v_is_around) - 1];
      v_sizes[pg_catalog.cardinality(v_sizes)] := v_sizes[pg_catalog.cardinality(v_sizes)] + v_size;
      pattern := pattern || ')';
      v_at := v_at + 1;
      continue;
    elsif v_char = '{' and v_rest ~ '^\{\d+(,\d*)?\}' then
      v_bounds := pg_catalog.regexp_match(v_rest, '^\{(\d+)(,?)(\d*)\}');
      if pg_catalog.length(v_bounds[1]) > 4 or pg_catalog.length(v_bounds[3]) > 4 then
        raise exception 'repeats too often';
      end if;
      -- What stood once stands as often as the larger bound says.
      v_sizes[pg_catalog.cardinality(v_sizes)] := v_sizes[pg_catalog.cardinality(v_sizes)]
        + v_size * greatest(v_bounds[1]::int, nullif(v_bounds[3], '')::int, 1) - v_size;
      if v_sizes[pg_catalog.cardinality(v_sizes)] > c_largest then
        raise exception 'repeats too much too often';
      end if;
      v_part := (pg_catalog.regexp_match(v_rest, '^\{[\d,]+\}\??'))[1];
      pattern := pattern || v_part;
      v_at := v_at + pg_catalog.length(v_part);
      continue;
    elsif v_char in ('*', '+', '?', '|', '^', '$') then
      if v_at = 1 and v_char in ('*', '+', '?') then
        raise exception 'begins with a repetition';
      end if;
      pattern := pattern || v_char;
      v_at := v_at + 1;
      continue;
    else
      v_at := v_at + 1;
      v_part := case when v_char = '.' then '[^\n\r\u2028\u2029]'
                     when v_char in ('{', '}', ']') then '\' || v_char else v_char end;
    end if;
    pattern := pattern || v_part;
    v_size := 1;
    v_sizes[pg_catalog.cardinality(v_sizes)] := v_sizes[pg_catalog.cardinality(v_sizes)] + 1;
  end loop;
  if v_in_class or pg_catalog.cardinality(v_sizes) > 1 then
    raise exception 'leaves a class or group open';
  end if;
  perform '' ~* (pattern collate dropwire.folding);
exception when others then
  pattern := null;
  problem := sqlerrm;
end
$$;

-- Conditions --------------------------------------------------------------------------------------------------------
-- How an operator is evaluated; several of them come to the same.
create function dropwire.condition_test(p_operator text) returns smallint
language sql immutable parallel safe as $$
  select case p_operator
    when 'equals' then 1 when 'in' then 1
    when 'not_equals' then 2 when 'not_in' then 2
    when 'contains' then 3 when 'starts_with' then 3 when 'ends_with' then 3
    when 'not_contains' then 4
    when 'greater_than' then 5
    when 'less_than' then 6
    when 'greater_than_or_equal' then 7
    when 'less_than_or_equal' then 8
    when 'between' then 9
    when 'regex' then 10
    when 'is_null' then 11
    when 'is_not_null' then 12
  end::smallint
$$;

-- A condition's values in the form that condition_holds compares: folded text, LIKE patterns or expressions.
create function dropwire.condition_texts(p_operator text, p_values text[]) returns text[]
language sql immutable parallel safe as $$
  select coalesce(pg_catalog.array_agg(t.text order by v.n) filter (where t.text is not null), '{}')
    from pg_catalog.unnest(p_values) with ordinality as v (value, n)
   cross join lateral (
     select case
       when p_operator = 'regex' then (select r.pattern from dropwire.translate_regex(v.value) r)
       when p_operator in ('contains', 'not_contains') then '%' || l.escaped || '%'
       when p_operator = 'starts_with' then l.escaped || '%'
       when p_operator = 'ends_with' then '%' || l.escaped
       else dropwire.fold(v.value)
     end as text
       from (select pg_catalog.regexp_replace(dropwire.fold(v.value), '([\\%_])', '\\\1', 'g') as escaped) l) t
$$;

create function dropwire.condition_numbers(p_operator text, p_values text[]) returns double precision[]
language sql immutable parallel safe as $$
  select pg_catalog.array_agg(dropwire.js_number(v.value) order by v.n)
    from pg_catalog.unnest(p_values) with ordinality as v (value, n)
   where p_operator in ('greater_than', 'less_than', 'greater_than_or_equal', 'less_than_or_equal', 'between')
$$;

-- Whether a condition holds for a field: its text folded, its text, its number. Inlined into what calls it.
create function dropwire.condition_holds(
  p_test smallint, p_texts text[], p_numbers double precision[],
  p_folded text, p_text text, p_number double precision
) returns boolean
language sql immutable parallel safe as $$
  select coalesce(case
    when p_test = 1 then p_folded collate "C" = any (p_texts)
    when p_test = 2 then p_folded is not null and not p_folded collate "C" = any (p_texts)
    when p_test = 3 then p_folded collate "C" like any (p_texts)
    when p_test = 4 then p_folded is not null and not p_folded collate "C" like any (p_texts)
    when p_test = 5 then p_number > any (p_numbers)
    when p_test = 6 then p_number < any (p_numbers)
    when p_test = 7 then p_number >= any (p_numbers)
    when p_test = 8 then p_number <= any (p_numbers)
    when p_test = 9 then p_number between p_numbers[1] and p_numbers[2]
    when p_test = 10 then p_text collate dropwire.folding ~* any (p_texts)
    when p_test = 11 then coalesce(p_folded, '') = ''
    when p_test = 12 then p_folded <> ''
  end, false)
$$;

-- `a.b[0].c` as `a.b.0.c`.
create function dropwire.field_path(p_path text) returns text
language sql immutable parallel safe as $$
  select pg_catalog.replace(pg_catalog.replace(pg_catalog.btrim(p_path), '[', '.'), ']', '')
$$;

-- The ticket column that a path, written so, depends on.
create function dropwire.field_column(p_path text) returns text
language sql immutable parallel safe as $$
  select case pg_catalog.split_part(p_path, '.', 1)
    when 'complainant' then 'complainant_id'
    when 'executor_profile' then 'executor_profile_id'
    else pg_catalog.split_part(p_path, '.', 1)
  end
$$;

-- Whether one condition, uncompiled, holds for a document.
create function dropwire.condition_holds(p_context jsonb, p_path text, p_operator text, p_values text[]) returns boolean
language sql stable parallel safe as $$
  select dropwire.condition_holds(
           dropwire.condition_test(p_operator),
           dropwire.condition_texts(p_operator, p_values),
           dropwire.condition_numbers(p_operator, p_values),
           dropwire.fold(f.text), pg_catalog.left(f.text, 4000), dropwire.js_number(f.value))
    from (select v.value, dropwire.js_text(v.value) as text
            from (select p_context #> pg_catalog.string_to_array(dropwire.field_path(p_path), '.') as value) v) f
$$;

-- Conditions of actions ---------------------------------------------------------------------------------------------
-- Reads actions.action_condition: comparisons `<field> <operator> <values>` joined by AND and OR, left to right. The
-- operator is one of conditions', in words (`is not null`, `starts with`) or as a sign (= == === != !== <> > < >= <=);
-- values are bare or quoted, several of them between commas. `ticket.` before a field is taken away. The result is a
-- JSON array of comparisons; null stands for "always". What cannot be read is raised.
create function dropwire.read_action_condition(p_text text) returns jsonb
language plpgsql immutable parallel safe as $$
declare
  c_token constant text := $re$^\s*("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|===|!==|==|!=|<>|>=|<=|&&|\|\||[=<>(),]|[^\s=<>!(),&|"']+)$re$;
  v_rest text := p_text;
  v_token text;
  v_tokens text[] := '{}';
  v_words text;
  v_operator text;
  v_values text[];
  v_result jsonb := '[]';
  v_joined_by text;
  v_field text;
  i int := 1;
  n int;
begin
  if coalesce(pg_catalog.lower(pg_catalog.btrim(p_text)), '') in ('', 'true', 'always') then
    return null;
  end if;
  while v_rest ~ '\S' loop
    v_token := (pg_catalog.regexp_match(v_rest, c_token))[1];
    if v_token is null then
      raise exception 'action_condition cannot be read at "%"', pg_catalog.left(pg_catalog.btrim(v_rest), 40);
    end if;
    v_tokens := v_tokens || v_token;
    v_rest := pg_catalog.substr(pg_catalog.ltrim(v_rest, E' \t\r\n'), pg_catalog.length(v_token) + 1);
  end loop;
  n := pg_catalog.cardinality(v_tokens);
  while i <= n loop
    v_field := pg_catalog.regexp_replace(v_tokens[i], '^ticket\.', '');
    -- The longest operator that the next tokens spell: `is not null` before `is`.
    v_operator := null;
    for v_length in reverse least(6, n - i) .. 1 loop
      v_words := pg_catalog.lower(pg_catalog.array_to_string(v_tokens[i + 1 : i + v_length], '_'));
      v_operator := case
        when v_words in ('=', '==', '===', 'is', 'equal') then 'equals'
        when v_words in ('!=', '!==', '<>', 'is_not', 'not_equal') then 'not_equals'
        when v_words = '>' then 'greater_than'
        when v_words = '<' then 'less_than'
        when v_words = '>=' then 'greater_than_or_equal'
        when v_words = '<=' then 'less_than_or_equal'
        when v_words = 'matches' then 'regex'
        when dropwire.condition_test(v_words) is not null then v_words
      end;
      if v_operator is not null then
        i := i + 1 + v_length;
        exit;
      end if;
    end loop;
    if v_operator is null then
      raise exception 'action_condition cannot be read: after "%" there is no operator', v_tokens[i];
    end if;
    v_values := '{}';
    while i <= n and pg_catalog.lower(v_tokens[i]) not in ('and', 'or', '&&', '||') loop
      v_token := v_tokens[i];
      if v_token ~ '^["'']' then
        v_values := v_values || pg_catalog.regexp_replace(
          pg_catalog.substr(v_token, 2, pg_catalog.length(v_token) - 2), '\\(.)', '\1', 'g');
      elsif v_token not in ('(', ')', ',') then
        v_values := v_values || v_token;
      end if;
      i := i + 1;
    end loop;
    if v_values = '{}' and v_operator not in ('is_null', 'is_not_null') then
      raise exception 'action_condition cannot be read: "% %" compares with nothing', v_field, v_operator;
    end if;
    v_result := v_result || pg_catalog.jsonb_build_object(
      'field_path', v_field, 'operator', v_operator, 'value', v_values,
      'logical_operator', case when v_joined_by in ('or', '||') then 'OR' else 'AND' end);
    v_joined_by := pg_catalog.lower(v_tokens[i]);
    i := i + 1;
    if i > n and v_joined_by is not null then
      raise exception 'action_condition cannot be read: nothing follows its last %', v_joined_by;
    end if;
  end loop;
  return v_result;
end
$$;

create function dropwire.action_condition_holds(p_text text, p_context jsonb) returns boolean
language plpgsql stable parallel safe as $$
declare
  c jsonb;
  v_holds boolean;
  v_all boolean;
begin
  if pg_catalog.lower(pg_catalog.btrim(p_text)) in ('false', 'never') then
    return false;
  end if;
  for c in select * from pg_catalog.jsonb_array_elements(dropwire.read_action_condition(p_text)) loop
    v_holds := dropwire.condition_holds(p_context, c ->> 'field_path', c ->> 'operator',
      array(select pg_catalog.jsonb_array_elements_text(c -> 'value')));
    v_all := case when v_all is null then v_holds
                  when c ->> 'logical_operator' = 'OR' then v_all or v_holds
                  else v_all and v_holds end;
  end loop;
  return coalesce(v_all, true);
end
$$;

revoke execute on all functions in schema dropwire from public;
