{{/* Values that fit the schema and still can't be meant. Each is refused with what would be right. */}}

{{- define "ragtime.hasCertificates" -}}
{{- if or .existingSecret .existingConfigMap -}}yes{{- end -}}
{{- end -}}

{{- define "ragtime.refuse" -}}
{{- $servers := .Values.kafka.bootstrapServers -}}
{{- if not $servers -}}
{{- fail "kafka.bootstrapServers is missing: name some brokers as host:port, for example kafka.data:9092" -}}
{{- end -}}
{{- if not (regexMatch "^[^\\s,]+:[0-9]+(,[^\\s,]+:[0-9]+)*$" $servers) -}}
{{- fail (printf "kafka.bootstrapServers is %q: brokers are written as host:port, several with commas and no spaces between them" $servers) -}}
{{- end -}}
{{- with .Values.kafka -}}
{{- $hasSasl := hasPrefix "SASL" .securityProtocol -}}
{{- $hasToken := and $hasSasl (eq .saslMechanism "OAUTHBEARER") -}}
{{- if and $hasSasl (not $hasToken) (not .existingSecret) -}}
{{- fail (printf "kafka.existingSecret is missing: %s needs the Secret that holds a user and his password" .securityProtocol) -}}
{{- end -}}
{{- if and .existingSecret (not $hasSasl) -}}
{{- fail (printf "kafka.existingSecret holds a user, and kafka.securityProtocol is %s: users are for SASL_SSL and SASL_PLAINTEXT" .securityProtocol) -}}
{{- end -}}
{{- if and .existingSecret $hasToken -}}
{{- fail "kafka.existingSecret holds a user, and kafka.saslMechanism is OAUTHBEARER: a token is shown instead, from kafka.tokenFile or kafka.tokenCommand" -}}
{{- end -}}
{{- if and $hasToken (eq (empty .tokenFile) (empty .tokenCommand)) -}}
{{- fail "kafka.saslMechanism is OAUTHBEARER: name where tokens come from as kafka.tokenFile or kafka.tokenCommand, one of both" -}}
{{- end -}}
{{- if and (or .tokenFile .tokenCommand .saslExtensions) (not $hasToken) -}}
{{- fail "kafka.tokenFile, kafka.tokenCommand and kafka.saslExtensions are for kafka.saslMechanism OAUTHBEARER, with SASL_SSL or SASL_PLAINTEXT" -}}
{{- end -}}
{{- if and $hasToken $.Values.processor.autoscaling.enabled -}}
{{- fail "processor.autoscaling reads the lag by KEDA, which has no part in the tokens of kafka.saslMechanism OAUTHBEARER: set processor.replicas instead" -}}
{{- end -}}
{{- if and (include "ragtime.hasCertificates" .certificates) (not (hasSuffix "SSL" .securityProtocol)) -}}
{{- fail (printf "kafka.certificates holds certificates, and kafka.securityProtocol is %s: they are for SSL and SASL_SSL" .securityProtocol) -}}
{{- end -}}
{{- end -}}
{{- range $server := list "kafka" "clickhouse" "rateLimits" "traces" -}}
{{- with (index $.Values $server).certificates -}}
{{- if ne (empty .certificateKey) (empty .keyKey) -}}
{{- fail (printf "%s.certificates.certificateKey and keyKey belong together: a certificate is of no use without its key" $server) -}}
{{- end -}}
{{- if and .keyKey (not .existingSecret) -}}
{{- fail (printf "%s.certificates.keyKey names a key, and no Secret is named that holds it: %s.certificates.existingSecret is missing" $server $server) -}}
{{- end -}}
{{- if and (include "ragtime.hasCertificates" .) (not .caKey) (not .certificateKey) -}}
{{- fail (printf "%s.certificates names no key: caKey is that of the authority, certificateKey and keyKey those of a certificate of ours" $server) -}}
{{- end -}}
{{- if and .existingConfigMap (not .caKey) -}}
{{- fail (printf "%s.certificates.existingConfigMap holds an authority: its key is missing, as %s.certificates.caKey" $server $server) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (include "ragtime.hasCertificates" .Values.rateLimits.certificates) (not .Values.rateLimits.existingSecret) -}}
{{- fail "rateLimits.certificates holds certificates, and there is no store: name the Secret with its URL as rateLimits.existingSecret" -}}
{{- end -}}
{{- if include "ragtime.hasCertificates" .Values.traces.certificates -}}
{{- $senders := "" -}}
{{- range $part := list "ingest" "processor" "query" -}}
{{- $senders = printf "%s%s" $senders (include "ragtime.sendsTraces" (dict "root" $ "part" $part)) -}}
{{- end -}}
{{- if not $senders -}}
{{- fail "traces.certificates holds certificates, and no service sends traces by TLS: set RAGTIME_TRACES__ENDPOINT in its settings, beginning with https://" -}}
{{- end -}}
{{- end -}}
{{- with .Values.clickhouse -}}
{{- if not (regexMatch "^https?://[^/\\s]+/?$" .url) -}}
{{- fail (printf "clickhouse.url is %q: say where ClickHouse answers HTTP, as http://host:port or https://host:port" .url) -}}
{{- end -}}
{{- if contains "@" .url -}}
{{- fail "clickhouse.url holds a user or a password: name users under clickhouse.users and their Secret as clickhouse.existingSecret" -}}
{{- end -}}
{{- if and (include "ragtime.hasCertificates" .certificates) (not (hasPrefix "https:" .url)) -}}
{{- fail (printf "clickhouse.certificates holds certificates, and clickhouse.url is %q: they are for a URL that begins with https://" .url) -}}
{{- end -}}
{{- range $part, $user := .users -}}
{{- if not ($user.existingSecret | default $.Values.clickhouse.existingSecret) -}}
{{- fail (printf "clickhouse.existingSecret is missing: name the Secret that holds the password of ClickHouse's user %s" $user.name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.admin.doctor -}}
{{- if and .pushgateway (not .schedule) -}}
{{- fail "admin.doctor.pushgateway is set, and nobody pushes: say when the doctor runs, as admin.doctor.schedule, for example 17 * * * *" -}}
{{- end -}}
{{- if contains "@" .pushgateway -}}
{{- fail "admin.doctor.pushgateway holds a user or a password: the doctor shows none" -}}
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
{{- fail (printf "%s.ingress.host is missing: ingest and query need a host name each; one for both is `ingress`" $part) -}}
{{- end -}}
{{- if and .ingress.enabled $.Values.ingress.enabled (eq .ingress.host $.Values.ingress.host) -}}
{{- fail (printf "%s.ingress.host is that of `ingress`, which leads to both services: enable one of both" $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) -}}
{{- fail "ingress.host is missing: the host name that leads to both services" -}}
{{- end -}}
{{- with .Values.httpRoute -}}
{{- if and .enabled (not (and .host .parentRefs)) -}}
{{- fail "httpRoute needs a host, and the Gateway that it hangs on: httpRoute.parentRefs, for example [{name: public, namespace: gateways}]" -}}
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
