{{/* What each part is told: the variables of docs/settings.md, secrets by reference alone. */}}

{{- define "ragtime.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{/* YAML's numbers arrive as floats: 1000000000 must not become 1e+09. */}}
{{- define "ragtime.valueOf" -}}
{{- if kindIs "slice" . -}}
{{- toJson . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "ragtime.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ include "ragtime.valueOf" $value | quote }}
{{- end -}}
{{- end -}}

{{- define "ragtime.clickhouse" -}}
{{- $clickhouse := .root.Values.clickhouse -}}
{{- $user := index $clickhouse.users .part -}}
{{- $secret := $user.existingSecret | default $clickhouse.existingSecret -}}
- name: RAGTIME_CLICKHOUSE__URL
  value: {{ $clickhouse.url | quote }}
- name: RAGTIME_CLICKHOUSE__DATABASE
  value: {{ $clickhouse.database | quote }}
- name: RAGTIME_CLICKHOUSE__USER
  value: {{ $user.name | quote }}
{{ include "ragtime.fromSecret" (dict "variable" "RAGTIME_CLICKHOUSE__PASSWORD" "secret" $secret "key" $user.passwordKey) }}
{{- end -}}

{{- define "ragtime.kafka" -}}
{{- $kafka := .root.Values.kafka -}}
- name: RAGTIME_KAFKA__BOOTSTRAP_SERVERS
  value: {{ $kafka.bootstrapServers | quote }}
- name: RAGTIME_KAFKA__EVENTS_TOPIC
  value: {{ $kafka.eventsTopic | quote }}
- name: RAGTIME_KAFKA__DEAD_LETTER_TOPIC
  value: {{ $kafka.deadLetterTopic | quote }}
- name: RAGTIME_KAFKA__SECURITY_PROTOCOL
  value: {{ $kafka.securityProtocol }}
{{- if hasPrefix "SASL" $kafka.securityProtocol }}
- name: RAGTIME_KAFKA__SASL_MECHANISM
  value: {{ $kafka.saslMechanism }}
{{ include "ragtime.fromSecret" (dict "variable" "RAGTIME_KAFKA__USERNAME" "secret" $kafka.existingSecret "key" $kafka.usernameKey) }}
{{ include "ragtime.fromSecret" (dict "variable" "RAGTIME_KAFKA__PASSWORD" "secret" $kafka.existingSecret "key" $kafka.passwordKey) }}
{{- end }}
{{- with $kafka.certificates }}
{{- if .existingSecret }}
{{- range $name, $key := dict "CA" .caKey "CERTIFICATE" .certificateKey "KEY" .keyKey }}
{{- if $key }}
- name: RAGTIME_KAFKA__{{ $name }}_FILE
  value: /etc/ragtime/kafka/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ragtime.pepper" -}}
{{- $access := .root.Values.access -}}
{{- $secret := $access.existingSecret -}}
{{ include "ragtime.fromSecret" (dict "variable" "RAGTIME_ACCESS__PEPPER" "secret" $secret "key" $access.pepperKey) }}
{{- with $access.previousPepperKey }}
{{ include "ragtime.fromSecret" (dict "variable" "RAGTIME_ACCESS__PREVIOUS_PEPPER" "secret" $secret "key" .) }}
{{- end }}
{{- end -}}

{{- define "ragtime.rateLimits" -}}
{{- with .root.Values.rateLimits }}
{{- if .existingSecret }}
{{ include "ragtime.fromSecret" (dict "variable" "RAGTIME_RATE_LIMIT__STORE_URL" "secret" .existingSecret "key" .storeUrlKey) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What `ragtime` is told, but for the pepper, which making topics and tables does not need. */}}
{{- define "ragtime.administration" -}}
{{- $scope := dict "root" . "part" "admin" -}}
{{ include "ragtime.clickhouse" $scope }}
{{ include "ragtime.kafka" $scope }}
- name: RAGTIME_TOPICS__PARTITIONS
  value: {{ int .Values.kafka.partitions | quote }}
{{- include "ragtime.settings" .Values.admin.settings }}
{{- end -}}

{{/* What `ragtime doctor` holds against what it finds: the services' users, names and numbers. */}}
{{- define "ragtime.patients" -}}
{{- $clickhouse := .Values.clickhouse -}}
{{- range $part := list "ingest" "processor" "query" }}
{{- $user := index $clickhouse.users $part }}
- name: RAGTIME_DOCTOR__{{ upper $part }}_USER
  value: {{ $user.name | quote }}
{{ include "ragtime.fromSecret" (dict "variable" (printf "RAGTIME_DOCTOR__%s_PASSWORD" (upper $part)) "secret" ($user.existingSecret | default $clickhouse.existingSecret) "key" $user.passwordKey) }}
{{- end }}
{{- $numbers := list -}}
{{- range $part := list "ingest" "query" }}
{{- $own := index $.Values $part }}
{{- $numbers = append $numbers (int (ternary $own.autoscaling.maxReplicas $own.replicas $own.autoscaling.enabled)) }}
{{- end }}
- name: RAGTIME_DOCTOR__REPLICAS
  value: {{ max 1 (first $numbers) (last $numbers) | quote }}
- name: RAGTIME_GROUP__NAME
  value: {{ include "ragtime.group" . }}
{{- include "ragtime.rateLimits" (dict "root" .) }}
{{- end -}}

{{- define "ragtime.group" -}}
{{- index .Values.processor.settings "RAGTIME_GROUP__NAME" | default "ragtime-processor" | quote -}}
{{- end -}}

{{- define "ragtime.environment" -}}
{{- $own := index .root.Values .part -}}
- name: RAGTIME_HTTP__HOST
  value: {{ .root.Values.listen | quote }}
# A port of its own: who may ask the API need not see how much is going on.
- name: RAGTIME_HTTP__METRICS_PORT
  value: {{ include "ragtime.metricsPort" . | quote }}
{{ include "ragtime.clickhouse" . }}
{{- if ne .part "query" }}
{{ include "ragtime.kafka" . }}
{{- end }}
{{- if ne .part "processor" }}
{{ include "ragtime.pepper" . }}
{{- include "ragtime.rateLimits" . }}
{{- else }}
# The pod's name as the name of the group's member. Kafka waits for a member with a name until its
# session ends (30 s) before it gives its partitions away, and gives them back when it returns.
# In a StatefulSet, whose pods return under their names, a restart therefore concerns the pod's own
# partitions alone. In a Deployment it would hurt: names are new each time, so each restart would
# leave partitions to a member that never returns. See docs/decisions/0013.
- name: RAGTIME_GROUP__INSTANCE
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
{{- if ne .part "processor" }}
# Until every node and proxy knows that this pod goes, requests still come: they are answered.
- name: RAGTIME_STOP__DELAY_S
  value: {{ .root.Values.leaveSeconds | quote }}
{{- end }}
{{- include "ragtime.settings" $own.settings }}
{{- with $own.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
