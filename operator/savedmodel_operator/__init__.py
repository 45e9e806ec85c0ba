"""savedmodel-operator: progressive delivery of TensorFlow SavedModels on Kubernetes.

The rooms and their arrows: `handlers → queue → reconcile → {observe, apply}` are effects;
`plan`, `gate`, `savedmodel`, `workload`, `status` and `api` are pure and know nothing of them.
"""

__version__ = "0.1.0"
