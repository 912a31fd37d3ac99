{{- define "llamero.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 57 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 57 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "llamero.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "llamero.labels" -}}
{{ include "llamero.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "llamero.adminSecret" -}}
{{ default (printf "%s-admin" (include "llamero.fullname" .)) .Values.adminTokenSecret }}
{{- end -}}

{{/* What the chart knows better than `config`: the ports of the container, and how long a pod has to end. */}}
{{- define "llamero.config" -}}
{{- $own := dict
  "listen" (dict "address" "0.0.0.0:11434")
  "admin" (dict "address" "0.0.0.0:11436")
  "log" (dict "format" "json")
  "shutdown" (dict "delay" (printf "%vs" .Values.shutdown.delaySeconds) "grace" (printf "%vs" .Values.shutdown.graceSeconds))
-}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) -}}
{{- end -}}
