{{/* Values that fit the schema and still can't be meant. Each is refused with what would be right. */}}

{{- define "ragtime.refuse" -}}
{{- $servers := .Values.kafka.bootstrapServers -}}
{{- if not $servers -}}
{{- fail "kafka.bootstrapServers is missing: name some brokers as host:port, for example kafka.data:9092" -}}
{{- end -}}
{{- if not (regexMatch "^[^\\s,]+:[0-9]+(,[^\\s,]+:[0-9]+)*$" $servers) -}}
{{- fail (printf "kafka.bootstrapServers is %q: brokers are written as host:port, several with commas and no spaces between them" $servers) -}}
{{- end -}}
{{- with .Values.kafka -}}
{{- if and (hasPrefix "SASL" .securityProtocol) (not .existingSecret) -}}
{{- fail (printf "kafka.existingSecret is missing: %s needs the Secret that holds a user and his password" .securityProtocol) -}}
{{- end -}}
{{- if and .existingSecret (not (hasPrefix "SASL" .securityProtocol)) -}}
{{- fail (printf "kafka.existingSecret holds a user, and kafka.securityProtocol is %s: users are for SASL_SSL and SASL_PLAINTEXT" .securityProtocol) -}}
{{- end -}}
{{- if and .certificates.existingSecret (not (hasSuffix "SSL" .securityProtocol)) -}}
{{- fail (printf "kafka.certificates holds certificates, and kafka.securityProtocol is %s: they are for SSL and SASL_SSL" .securityProtocol) -}}
{{- end -}}
{{- if ne (empty .certificates.certificateKey) (empty .certificates.keyKey) -}}
{{- fail "kafka.certificates.certificateKey and keyKey belong together: a certificate is of no use without its key" -}}
{{- end -}}
{{- end -}}
{{- with .Values.clickhouse -}}
{{- if not (regexMatch "^https?://[^/\\s]+/?$" .url) -}}
{{- fail (printf "clickhouse.url is %q: say where ClickHouse answers HTTP, as http://host:port or https://host:port" .url) -}}
{{- end -}}
{{- if contains "@" .url -}}
{{- fail "clickhouse.url holds a user or a password: name users under clickhouse.users and their Secret as clickhouse.existingSecret" -}}
{{- end -}}
{{- range $part, $user := .users -}}
{{- if not ($user.existingSecret | default $.Values.clickhouse.existingSecret) -}}
{{- fail (printf "clickhouse.existingSecret is missing: name the Secret that holds the password of ClickHouse's user %s" $user.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not .Values.access.existingSecret -}}
{{- fail "access.existingSecret is missing: name the Secret that holds the pepper of the API keys, 32 characters or more" -}}
{{- end -}}
{{- range $part := list "ingest" "processor" "query" -}}
{{- with (index $.Values $part).autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "%s.autoscaling.minReplicas is %d and maxReplicas is %d: the least must not be more than the most" $part (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $part := list "ingest" "query" -}}
{{- with index $.Values $part -}}
{{- if and .autoscaling.enabled (not (dig "requests" "cpu" "" (.resources | default dict))) -}}
{{- fail (printf "%s.autoscaling needs %s.resources.requests.cpu: its target is a share of that" $part $part) -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.host) -}}
{{- fail (printf "%s.ingress.host is missing: ingest and query need a host name each" $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.processor -}}
{{- $most := int (ternary .autoscaling.maxReplicas .replicas .autoscaling.enabled) -}}
{{- if gt $most (int $.Values.kafka.partitions) -}}
{{- fail (printf "the processor may have %d replicas, but kafka.partitions is %d: each partition has one reader, so more processors would have nothing to do" $most (int $.Values.kafka.partitions)) -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.serviceMonitor.enabled .Values.monitoring.rules.enabled) .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) -}}
{{- fail "networkPolicy.metricsFrom is missing: with serviceMonitor.enabled or monitoring.rules.enabled it names where Prometheus runs, for example [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" -}}
{{- end -}}
{{- end -}}
