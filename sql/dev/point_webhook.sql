-- Points the demo tenant's webhook to the inbox, unless somebody set another one. $1 the inbox's URL.
update public.tenants
   set automation_webhook_url = $1
 where id = 'd0000000-0000-4000-8000-000000000001'
   and (automation_webhook_url is null or automation_webhook_url like '%/\_dev/inbox')
