{{/* What each part is told: the variables of docs/settings.md. Secrets and files: _files.tpl. */}}

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
- name: RAGTIME_CLICKHOUSE__URL
  value: {{ $clickhouse.url | quote }}
- name: RAGTIME_CLICKHOUSE__DATABASE
  value: {{ $clickhouse.database | quote }}
- name: RAGTIME_CLICKHOUSE__USER
  value: {{ (index $clickhouse.users (include "ragtime.role" .part)).name | quote }}
{{- end -}}

{{- define "ragtime.kafka" -}}
{{- with .root.Values.kafka -}}
- name: RAGTIME_KAFKA__BOOTSTRAP_SERVERS
  value: {{ .bootstrapServers | quote }}
- name: RAGTIME_KAFKA__EVENTS_TOPIC
  value: {{ .eventsTopic | quote }}
- name: RAGTIME_KAFKA__DEAD_LETTER_TOPIC
  value: {{ .deadLetterTopic | quote }}
- name: RAGTIME_KAFKA__SECURITY_PROTOCOL
  value: {{ .securityProtocol }}
{{- if hasPrefix "SASL" .securityProtocol }}
- name: RAGTIME_KAFKA__SASL_MECHANISM
  value: {{ .saslMechanism }}
{{- if ne .saslMechanism "OAUTHBEARER" }}
- name: RAGTIME_KAFKA__USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .usernameKey }}
{{- end }}
{{- with .tokenFile }}
- name: RAGTIME_KAFKA__TOKEN_FILE
  value: {{ . | quote }}
{{- end }}
{{- with .saslExtensions }}
- name: RAGTIME_KAFKA__SASL_EXTENSIONS
  value: {{ join "," . | quote }}
{{- end }}
{{- with .tokenCommand }}
- name: RAGTIME_KAFKA__TOKEN_COMMAND
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What `ragtime` is told. */}}
{{- define "ragtime.administration" -}}
{{ include "ragtime.clickhouse" . }}
{{ include "ragtime.kafka" . }}
- name: RAGTIME_TOPICS__PARTITIONS
  value: {{ int .root.Values.kafka.partitions | quote }}
{{- include "ragtime.files" . }}
{{- include "ragtime.settings" .root.Values.admin.settings }}
{{- with .root.Values.admin.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What `ragtime doctor` holds against what it finds: the services' users, names and numbers. */}}
{{- define "ragtime.patients" -}}
{{- range $part := list "ingest" "processor" "query" }}
- name: RAGTIME_DOCTOR__{{ upper $part }}_USER
  value: {{ (index $.Values.clickhouse.users $part).name | quote }}
{{- end }}
{{- $numbers := list -}}
{{- range $part := list "ingest" "query" }}
{{- $own := index $.Values $part }}
{{- $numbers = append $numbers (int (ternary $own.autoscaling.maxReplicas $own.replicas $own.autoscaling.enabled)) }}
{{- end }}
# By names that stand for all pods, ready or not.
- name: RAGTIME_DOCTOR__SERVICES
  value: {{ printf "http://%s-metrics:%s,http://%s-metrics:%s,http://%s:%s" (include "ragtime.partName" (dict "root" $ "part" "ingest")) (include "ragtime.port" "ingest") (include "ragtime.partName" (dict "root" $ "part" "query")) (include "ragtime.port" "query") (include "ragtime.partName" (dict "root" $ "part" "processor")) (include "ragtime.port" "processor") | quote }}
- name: RAGTIME_DOCTOR__REPLICAS
  value: {{ max 1 (first $numbers) (last $numbers) | quote }}
- name: RAGTIME_GROUP__NAME
  value: {{ include "ragtime.group" . }}
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
{{- include "ragtime.files" . }}
{{- if eq .part "processor" }}
# The pod's name as the name of the group's member. Kafka waits for a member with a name until its
# session ends (30 s) before it gives its partitions away, and gives them back when it returns.
# In a StatefulSet, whose pods return under their names, a restart therefore concerns the pod's own
# partitions alone. In a Deployment it would hurt: names are new each time, so each restart would
# leave partitions to a member that never returns. See docs/decisions/0013.
- name: RAGTIME_GROUP__INSTANCE
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- else }}
# Until every node and proxy knows that this pod goes, requests still come: they are answered.
- name: RAGTIME_STOP__DELAY_S
  value: {{ .root.Values.leaveSeconds | quote }}
{{- end }}
{{- include "ragtime.settings" $own.settings }}
{{- with $own.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
