{{/* What the operator does in every namespace that it serves; nothing here is not used. */}}
{{- define "operator.rules" -}}
- apiGroups: [sserelay.dev]
  resources: [sserelays]
  verbs: [list, watch]
- apiGroups: [sserelay.dev]
  resources: [sserelays/status]
  verbs: [patch]
# with the admission of owner references, owning an object needs the right to finalize its owner
- apiGroups: [sserelay.dev]
  resources: [sserelays/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, list, watch, create, patch, delete]
# these go with their relay only, by garbage collection
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# with autoscaling.streams, pods are told which of them leaves first
- apiGroups: [""]
  resources: [pods]
  verbs: [list, patch]
# the volume of a Redis grows
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# what became of relays is told; why a StatefulSet makes no pod for Redis is read
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list, create, patch]
{{- if .Values.rbac.optional.gateway }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, create, patch, delete]
# what serves a Gateway
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get]
- apiGroups: [gateway.envoyproxy.io]
  resources: [backendtrafficpolicies]
  verbs: [get, list, create, patch, delete]
- apiGroups: [networking.gke.io]
  resources: [gcpbackendpolicies, healthcheckpolicies]
  verbs: [get, list, create, patch, delete]
- apiGroups: [gateway.k8s.aws]
  resources: [loadbalancerconfigurations, targetgroupconfigurations]
  verbs: [get, list, create, patch, delete]
- apiGroups: [gateway.nginx.org]
  resources: [proxysettingspolicies, upstreamsettingspolicies]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- if .Values.rbac.optional.monitoring }}
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors, prometheusrules]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- if .Values.rbac.optional.keda }}
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- if .Values.rbac.optional.gce }}
- apiGroups: [cloud.google.com]
  resources: [backendconfigs]
  verbs: [get, list, create, patch, delete]
- apiGroups: [networking.gke.io]
  resources: [frontendconfigs]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- if .Values.rbac.optional.kong }}
- apiGroups: [configuration.konghq.com]
  resources: [kongupstreampolicies]
  verbs: [get, list, create, patch, delete]
{{- end }}
{{- end -}}
