{{/* What comes out of Secrets and ConfigMaps: secrets as variables or files, certificates as files. */}}

{{/* The secrets that a part is told: which variable holds what. */}}
{{- define "ragtime.secrets" -}}
{{- $values := .root.Values -}}
{{- $found := list (include "ragtime.password" (dict "root" .root "user" (include "ragtime.role" .part) "variable" "RAGTIME_CLICKHOUSE__PASSWORD") | fromJson) -}}
{{- $kafka := $values.kafka -}}
{{- if and (ne .part "query") (hasPrefix "SASL" $kafka.securityProtocol) (ne $kafka.saslMechanism "OAUTHBEARER") -}}
{{- $found = append $found (dict "variable" "RAGTIME_KAFKA__PASSWORD" "secret" $kafka.existingSecret "key" $kafka.passwordKey) -}}
{{- end -}}
{{- if has .part (list "ingest" "query" "admin" "test") -}}
{{- $access := $values.access -}}
{{- $found = append $found (dict "variable" "RAGTIME_ACCESS__PEPPER" "secret" $access.existingSecret "key" $access.pepperKey) -}}
{{- with $access.previousPepperKey -}}
{{- $found = append $found (dict "variable" "RAGTIME_ACCESS__PREVIOUS_PEPPER" "secret" $access.existingSecret "key" .) -}}
{{- end -}}
{{- with $values.rateLimits.existingSecret -}}
{{- $found = append $found (dict "variable" "RAGTIME_RATE_LIMIT__STORE_URL" "secret" . "key" $values.rateLimits.storeUrlKey) -}}
{{- end -}}
{{- end -}}
{{- if has .part (list "admin" "test") -}}
{{- range $user := list "ingest" "processor" "query" -}}
{{- $variable := printf "RAGTIME_DOCTOR__%s_PASSWORD" (upper $user) -}}
{{- $found = append $found (include "ragtime.password" (dict "root" $.root "user" $user "variable" $variable) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "ragtime.password" -}}
{{- $clickhouse := .root.Values.clickhouse -}}
{{- $user := index $clickhouse.users .user -}}
{{- dict "variable" .variable "secret" ($user.existingSecret | default $clickhouse.existingSecret) "key" $user.passwordKey | toJson -}}
{{- end -}}

{{/* The servers that a part meets with an authority or a certificate of the values', by the name of
the folder that the files lie in; with each file by its variable. */}}
{{- define "ragtime.certificates" -}}
{{- $values := .root.Values -}}
{{- $met := dict "clickhouse" (list $values.clickhouse.certificates "RAGTIME_CLICKHOUSE__" "CERT") -}}
{{- if ne .part "query" -}}
{{- $_ := set $met "kafka" (list $values.kafka.certificates "RAGTIME_KAFKA__" "CERTIFICATE") -}}
{{- end -}}
{{- if has .part (list "ingest" "query" "admin" "test") -}}
{{- $_ := set $met "store" (list $values.rateLimits.certificates "RAGTIME_RATE_LIMIT__STORE_" "CERT") -}}
{{- end -}}
{{- if include "ragtime.sendsTraces" . -}}
{{- $_ := set $met "traces" (list $values.traces.certificates "RAGTIME_TRACES__" "CERT") -}}
{{- end -}}
{{- $found := dict -}}
{{- range $server, $how := $met -}}
{{- $own := first $how -}}
{{- if or $own.existingSecret $own.existingConfigMap -}}
{{- $files := dict -}}
{{- range $word, $key := dict "CA" $own.caKey (last $how) $own.certificateKey "KEY" $own.keyKey -}}
{{- if $key -}}
{{- $_ := set $files (printf "%s%s_FILE" (index $how 1) $word) $key -}}
{{- end -}}
{{- end -}}
{{- $_ := set $found $server (dict "own" $own "files" $files) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Something where a part sends traces by TLS. */}}
{{- define "ragtime.sendsTraces" -}}
{{- if has .part (list "ingest" "processor" "query") -}}
{{- if hasPrefix "https:" (index (index .root.Values .part).settings "RAGTIME_TRACES__ENDPOINT" | default "") -}}yes{{- end -}}
{{- end -}}
{{- end -}}

{{/* The variables of all that. `only`: for one server alone, `clickhouse`. */}}
{{- define "ragtime.files" -}}
{{- range include "ragtime.secrets" . | fromJsonArray }}
{{- if or (not $.only) (eq .variable "RAGTIME_CLICKHOUSE__PASSWORD") }}
{{- if $.root.Values.secretsAsFiles }}
- name: {{ .variable }}_FILE
  value: /etc/ragtime/secrets/{{ .variable }}
{{- else }}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- end }}
{{- range $server, $found := include "ragtime.certificates" . | fromJson }}
{{- if or (not $.only) (eq $server $.only) }}
{{- range $variable, $key := $found.files }}
- name: {{ $variable }}
  value: /etc/ragtime/{{ $server }}/{{ $key }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where a container finds files: its folder for what passes (the processor makes one in /tmp, and
the root is read-only), the files from above, and those of `extraVolumeMounts`. */}}
{{- define "ragtime.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if .root.Values.secretsAsFiles }}
- {name: secrets, mountPath: /etc/ragtime/secrets, readOnly: true}
{{- end }}
{{- range $server, $_ := include "ragtime.certificates" . | fromJson }}
{{- if or (not $.only) (eq $server $.only) }}
- {name: {{ $server }}, mountPath: /etc/ragtime/{{ $server }}, readOnly: true}
{{- end }}
{{- end }}
{{- with (index .root.Values (include "ragtime.role" .part)).extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "ragtime.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- if .root.Values.secretsAsFiles }}
- name: secrets
  projected:
    sources:
      {{- range include "ragtime.secrets" . | fromJsonArray }}
      - secret:
          name: {{ .secret }}
          items: [{key: {{ .key }}, path: {{ .variable }}}]
      {{- end }}
{{- end }}
{{- range $server, $found := include "ragtime.certificates" . | fromJson }}
- name: {{ $server }}
  projected:
    sources:
      {{- $own := $found.own }}
      {{- if and $own.existingConfigMap $own.caKey }}
      - configMap:
          name: {{ $own.existingConfigMap }}
          items: [{key: {{ $own.caKey }}, path: {{ $own.caKey }}}]
      {{- end }}
      {{- if $own.existingSecret }}
      - secret:
          name: {{ $own.existingSecret }}
          items:
            {{- range $key := compact (list (ternary "" $own.caKey (not (empty $own.existingConfigMap))) $own.certificateKey $own.keyKey) }}
            - {key: {{ $key }}, path: {{ $key }}}
            {{- end }}
      {{- end }}
{{- end }}
{{- with (index .root.Values (include "ragtime.role" .part)).extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
