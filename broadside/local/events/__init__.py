"""What happens by itself: events of S3 and EventBridge, changes of DynamoDB tables, schedules."""
