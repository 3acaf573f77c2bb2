-- By which name the rows of a topic go, and how many partitions it was made with: of one that was made
-- anew under its name the latest, `events#2`. No row where nobody noted it.
SELECT name, partitions
FROM topics FINAL
WHERE name = {topic:String} OR startsWith(name, concat({topic:String}, '#'))
ORDER BY toUInt32OrZero(splitByChar('#', name)[-1]) DESC
LIMIT 1
