-- A resolved reservation says of each of its grants what was spent of it, 0 included: debts are counted from it.
create or replace function refuse_unsettled() returns trigger language plpgsql as $$
       begin
         if exists (select 1 from reservation_grants where job_id = new.job_id and settled is null) then
           raise exception 'a reservation is resolved only with each of its grants' using errcode = 'restrict_violation';
         end if;
         return null;
       end $$
