"""Every event source and the handler that it goes to; nothing else.

The names given here become the functions' logical ids in the template (``verify_file`` -> ``VerifyFile``) and must be the
handlers' own, since Lambda finds them as ``app.<name>``.  Resource names that only the stack knows are placeholders here
and are filled in by ``infra/template.yaml``.
"""

from chalice.app import Chalice

from chalicelib.handlers import intake, publish, rollout, streams, upkeep

# Powertools' logger writes the functions' logs; Chalice's own would write to stdout all that our packages say.
app = Chalice(app_name="broadside", configure_logs=False)

# An upload: any object of the builds bucket but the status files that we write there ourselves.
ingest = app.on_cw_event(
    {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": ["builds-bucket"]}},
    },
    name="ingest",
)(intake.ingest)
sweep = app.schedule("rate(15 minutes)", name="sweep")(intake.sweep)
clear_orphans = app.schedule("rate(1 hour)", name="clear_orphans")(upkeep.clear_orphans)

# The steps of the publish state machine, in their order.
verify_file = app.lambda_function(name="verify_file")(publish.verify_file)
read_disk = app.lambda_function(name="read_disk")(publish.read_disk)
plan_regions = app.lambda_function(name="plan_regions")(publish.plan_regions)
start_snapshots = app.lambda_function(name="start_snapshots")(publish.start_snapshots)
write_shard = app.lambda_function(name="write_shard")(publish.write_shard)
complete_snapshot = app.lambda_function(name="complete_snapshot")(publish.complete_snapshot)
catch_up = app.lambda_function(name="catch_up")(publish.catch_up)
fall_back = app.lambda_function(name="fall_back")(publish.fall_back)
register_image = app.lambda_function(name="register_image")(publish.register_image)
check_image = app.lambda_function(name="check_image")(publish.check_image)
make_public = app.lambda_function(name="make_public")(publish.make_public)
check_public = app.lambda_function(name="check_public")(publish.check_public)
expose_file = app.lambda_function(name="expose_file")(publish.expose_file)
record_failure = app.lambda_function(name="record_failure")(publish.record_failure)
conclude = app.lambda_function(name="conclude")(publish.conclude)

# The steps of the rollout state machine that it does not share with publishing.
begin_rollout = app.lambda_function(name="begin_rollout")(rollout.begin_rollout)
proceed_rollout = app.lambda_function(name="proceed_rollout")(rollout.proceed_rollout)
hold_rollout = app.lambda_function(name="hold_rollout")(rollout.hold_rollout)
make_private = app.lambda_function(name="make_private")(publish.make_private)

# What `broadside release` invokes to have a rollout pause, go on or end.
steer_rollout = app.lambda_function(name="steer_rollout")(rollout.steer_rollout)

# The index has changed: render, sign and swap the public files.
publish_streams = app.on_dynamodb_record(stream_arn="index-stream-arn", batch_size=100, name="publish_streams")(
    streams.publish_streams
)
