{{- define "savedmodel-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "savedmodel-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "savedmodel-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "savedmodel-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* The name label is fixed: NetworkPolicies of the models let pods with it in. */ -}}
{{- define "savedmodel-operator.selector" -}}
app.kubernetes.io/name: savedmodel-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "savedmodel-operator.labels" -}}
{{ include "savedmodel-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "savedmodel-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "savedmodel-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed with serviceAccount.create=false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "savedmodel-operator.image" -}}
{{- $repository := required "image.repository is needed: where you pushed the operator's image (the README says how to build it)" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- define "savedmodel-operator.routerImage" -}}
{{- with .Values.router.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository .tag }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the operator does where the models are. Verbs by kind, nothing by wildcard. */ -}}
{{- define "savedmodel-operator.modelRules" -}}
- apiGroups: [savedmodel.dev]
  resources: [savedmodeldeployments]
  verbs: [get, list, watch]
- apiGroups: [savedmodel.dev]
  resources: [savedmodeldeployments/status]
  verbs: [update]
# Children name their owner with blockOwnerDeletion. Where the admission plugin
# OwnerReferencesPermissionEnforcement is on (OpenShift), that takes this right.
- apiGroups: [savedmodel.dev]
  resources: [savedmodeldeployments/finalizers]
  verbs: [update]
# The get on configmaps also reads what objects name: golden requests and CA bundles. Their names
# are the users' to choose, so the right cannot be bound to names.
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [apps]
  resources: [controllerrevisions, deployments]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [create, delete, get, list, patch, watch]
# They go with their object; nobody needs the right to take a protection away.
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, get, list, patch, watch]
# Router pods are nudged by an annotation; one that cannot be verified is deleted.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete, list, patch, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- with .Values.storageSecretNames }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
{{- end }}
