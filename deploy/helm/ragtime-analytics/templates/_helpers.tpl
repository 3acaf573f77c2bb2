{{/* The parts of the chart's names. All take the root context, or a dict with `root` and `part`. */}}

{{- define "ragtime.name" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ragtime.partName" -}}
{{- include "ragtime.name" .root }}-{{ .part -}}
{{- end -}}

{{/* Whose values a part has: the jobs that run `ragtime` share those of `admin`. */}}
{{- define "ragtime.role" -}}
{{- ternary "admin" . (has . (list "admin" "init" "test")) -}}
{{- end -}}

{{- define "ragtime.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "ragtime.labels" -}}
{{ include "ragtime.selector" . }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "ragtime.serviceAccount" -}}
{{- $own := (index .root.Values (include "ragtime.role" .part)).serviceAccount -}}
{{- if $own.create -}}
{{- $own.name | default (include "ragtime.partName" .) -}}
{{- else -}}
{{- $own.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "ragtime.image" -}}
{{- $image := .root.Values.image -}}
{{- $own := (index .root.Values .part).image -}}
{{- if $own -}}
{{- $own -}}
{{- else -}}
{{- if $image.registry }}{{ trimSuffix "/" $image.registry }}/{{ end -}}
{{- $image.prefix }}{{ .part }}:{{ $image.tag | default .root.Chart.AppVersion -}}
{{- end -}}
{{- end -}}

{{- define "ragtime.metricsPort" -}}9090{{- end -}}

{{/* The container port; the Settings classes have the same defaults. */}}
{{- define "ragtime.port" -}}
{{- index (dict "query" 8080 "ingest" 8081 "processor" 8082) . -}}
{{- end -}}
