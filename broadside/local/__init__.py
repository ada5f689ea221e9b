"""The embedded cloud: AWS as Broadside uses it, in one process on loopback.

moto keeps the state of every service; this package makes it behave: functions run in processes of their own, events reach
their targets, the packaged template is deployed as it is, EC2 images and EBS snapshots are as strict as AWS's, and
quotas, throttles, latencies and faults follow a behaviour file.  State lives as long as the process: a restart starts empty.
"""
