"""CloudFormation for one template: resolved, ordered by dependency, and made through the services' own APIs.

moto's CloudFormation drops what it does not know; here an unknown resource type, property, function or reference stops the
deployment with a sentence that names it.
"""
