"""The entry points of the Lambda functions: parse the event, make one call, return."""
