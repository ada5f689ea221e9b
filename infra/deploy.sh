#!/bin/bash
# Deploys a packaged template with the AWS CLI: infra/deploy.sh TEMPLATE; with `check` instead of a template it only sees
# whether it could.  Called by `make deploy`, which sets the variables:
#   STAGE        prod gives the stack `broadside`, anything else `broadside-STAGE`
#   REGION       the home Region; without it the AWS CLI's own
#   ARTIFACTS    a bucket for code and template; without it one is made for the account and Region
#   ALARM_EMAIL, PUBLIC_URL   the stack's parameters; without them they stay as they are
set -euo pipefail

fail() { echo "deploy: $*" >&2; exit 1; }

template=${1:?usage: $0 TEMPLATE or $0 check}
[[ -n ${STAGE-} ]] || fail "STAGE is not set: say which installation, as in make deploy STAGE=prod."
[[ $STAGE =~ ^[a-z][a-z0-9-]{0,30}$ ]] || fail "STAGE is $STAGE: small letters, digits and hyphens, please."
command -v aws >/dev/null || fail "the AWS CLI (aws) is missing: install version 2, see docs/deploy.md."

stack=broadside
[[ $STAGE == prod ]] || stack=broadside-$STAGE
region=${REGION:-${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}}
[[ -n $region ]] || fail "there is no Region: say which one is home, as in make deploy STAGE=$STAGE REGION=us-east-1."
export AWS_REGION=$region AWS_DEFAULT_REGION=$region
account=$(aws sts get-caller-identity --query Account --output text) || fail "the AWS CLI has no valid credentials."

[[ $template != check ]] || exit 0

bucket=${ARTIFACTS:-broadside-artifacts-$account-$region}
if ! aws s3api head-bucket --bucket "$bucket" --expected-bucket-owner "$account" >/dev/null 2>&1; then
    [[ -z ${ARTIFACTS-} ]] || fail "the bucket $ARTIFACTS is not there, or not yours: make it, or leave ARTIFACTS out."
    echo "Making the bucket $bucket for code and templates ..."
    aws s3 mb "s3://$bucket"
fi

parameters=()
[[ -z ${ALARM_EMAIL-} ]] || parameters+=("AlarmEmail=$ALARM_EMAIL")
[[ -z ${PUBLIC_URL-} ]] || parameters+=("PublicUrl=$PUBLIC_URL")

packaged=$(dirname "$template")/packaged.json
aws cloudformation package --template-file "$template" --s3-bucket "$bucket" --s3-prefix "$stack" \
    --use-json --output-template-file "$packaged" >/dev/null
aws cloudformation deploy --template-file "$packaged" --stack-name "$stack" --s3-bucket "$bucket" --s3-prefix "$stack" \
    --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --no-fail-on-empty-changeset \
    ${parameters[@]+--parameter-overrides "${parameters[@]}"}
aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0].Outputs[].[OutputKey, OutputValue]' --output table
