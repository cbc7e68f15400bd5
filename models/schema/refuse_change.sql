-- What no code of ours may do to a table, refused by the database itself. The trigger's argument says why.
create or replace function refuse_change() returns trigger language plpgsql as $$
       begin raise exception '% of % is refused: %', tg_op, tg_table_name, tg_argv[0] using errcode = 'restrict_violation'; end $$
