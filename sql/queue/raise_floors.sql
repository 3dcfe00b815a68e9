-- Keeps claims quick while an old snapshot is open. Answers how many endpoints have a floor.
select dropwire.raise_webhook_floors()
