-- The topics that events were ever counted from, or were to be, by their names in Kafka.
SELECT DISTINCT splitByChar('#', name)[1] AS topic
FROM topics
ORDER BY topic
