#!/usr/bin/env bash
# Makes what export_bigquery needs in a Google Cloud project: data sets, a bucket, a service account without keys, and a pool that
# lets the AWS role <prefix>-stage-bigquery be that account. Twice is once; nothing that is there is changed or deleted, but the
# bucket's and the data sets' rules, and rights, which are set again.
set -euo pipefail

usage() {
    cat <<'TEXT'
infra/gcp/setup.sh --project ID --aws-account 123456789012 [--prefix ecommerce] [--dataset ecommerce] [--location EU]
                   [--bucket NAME] [--transfer] [--dry-run]

  --project      Google Cloud project, which must be there and have billing
  --aws-account  number of the AWS account with the stage
  --prefix       of the stage on AWS; its role <prefix>-stage-bigquery is let in
  --dataset      prefix of the data sets: <dataset>_core, _mart, _bi, _staging
  --location     of data sets and bucket: EU, US, or a region; it cannot be changed later
  --bucket       in Cloud Storage; by default <project>-<prefix>-export
  --transfer     let Google's Storage Transfer Service copy the files, instead of Airflow; needs curl
  --dry-run      print each command that changes something instead of running it; asks Google nothing

It needs gcloud 450 or newer, and the roles Owner, or Service Usage Admin, BigQuery Admin, Storage Admin, Service Account Admin,
Workload Identity Pool Admin and Project IAM Admin.
TEXT
}

fail() {
    echo "setup: $1" >&2
    exit 1
}

project='' aws_account='' prefix=ecommerce dataset=ecommerce location=EU bucket='' dry_run=no transfer=no
while [ $# -gt 0 ]; do
    case "$1" in
        --dry-run) dry_run=yes; shift; continue ;;
        --transfer) transfer=yes; shift; continue ;;
        --help | -h) usage; exit 0 ;;
        --project | --aws-account | --prefix | --dataset | --location | --bucket) 
            [[ $# -gt 1 && $2 != --* ]] || fail "$1: a value is missing"
            ;;
        *) fail "$1 is not known; --help says what is" ;;
    esac
    case "$1" in
        --project) project=$2 ;;
        --aws-account) aws_account=$2 ;;
        --prefix) prefix=$2 ;;
        --dataset) dataset=$2 ;;
        --location) location=$2 ;;
        --bucket) bucket=$2 ;;
    esac
    shift 2
done
[[ $project =~ ^[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] || fail "--project: expected the id of a project, as my-project-1"
[[ $aws_account =~ ^[0-9]{12}$ ]] || fail "--aws-account: expected twelve digits"
[[ $prefix =~ ^[a-z][a-z0-9-]{1,20}$ ]] || fail "--prefix: expected 2 to 21 lower-case letters, digits and hyphens, as ecommerce-prod"
[[ $dataset =~ ^[A-Za-z0-9_]{1,100}$ ]] || fail "--dataset: expected letters, digits and underscores"
[[ $location =~ ^[A-Za-z0-9-]+$ ]] || fail "--location: expected EU, US or a region"
bucket=${bucket:-$project-$prefix-export}
[[ $bucket =~ ^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$ ]] || fail "--bucket: expected 3 to 63 lower-case letters, digits, dots and hyphens"

account_name=$prefix-export
account=$account_name@$project.iam.gserviceaccount.com
pool=$prefix-aws
role=$prefix-stage-bigquery
here=$(cd "$(dirname "$0")" && pwd)

# Runs a command that changes something, or prints it.
change() {
    if [ "$dry_run" = yes ]; then
        printf '%q ' "$@"
        echo
    else
        "$@"
    fi
}

# Whether something is there; a dry run takes it as missing, and shows how it is made.
is_there() {
    [ "$dry_run" = no ] && "$@" >/dev/null 2>&1
}

if [ "$dry_run" = no ]; then
    command -v gcloud >/dev/null || fail "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
    command -v bq >/dev/null || fail "bq is not installed: gcloud components install bq"
    number=$(gcloud projects describe "$project" --format='value(projectNumber)') || fail "project $project: not there, or not for you"
else
    number=000000000000
fi
provider=projects/$number/locations/global/workloadIdentityPools/$pool/providers/aws-account

change gcloud services enable bigquery.googleapis.com storage.googleapis.com iam.googleapis.com iamcredentials.googleapis.com \
    sts.googleapis.com "--project=$project"

# Files are there for the time of an export; those of a run that died end after a day, and nothing is kept beyond that.
is_there gcloud storage buckets describe "gs://$bucket" "--project=$project" ||
    change gcloud storage buckets create "gs://$bucket" "--project=$project" "--location=$location" --uniform-bucket-level-access \
        --public-access-prevention --soft-delete-duration=0
change gcloud storage buckets update "gs://$bucket" "--project=$project" "--lifecycle-file=$here/lifecycle.json" \
    --soft-delete-duration=0

is_there gcloud iam service-accounts describe "$account" "--project=$project" ||
    change gcloud iam service-accounts create "$account_name" "--project=$project" \
        '--display-name=export_bigquery of the E-commerce ELT'

# Erased customers are in earlier versions of a table for so long as its time travel reaches: two days, the least.
for schema in core mart bi staging; do
    is_there bq --project_id="$project" show "$project:${dataset}_$schema" ||
        change bq --project_id="$project" --location="$location" mk --dataset --max_time_travel_hours=48 \
            "$project:${dataset}_$schema"
    change bq --project_id="$project" query --use_legacy_sql=false --location="$location" \
        "GRANT \`roles/bigquery.dataEditor\` ON SCHEMA \`$project\`.${dataset}_$schema TO 'serviceAccount:$account'"
done
change gcloud projects add-iam-policy-binding "$project" "--member=serviceAccount:$account" --role=roles/bigquery.jobUser \
    --condition=None --quiet
change gcloud storage buckets add-iam-policy-binding "gs://$bucket" "--member=serviceAccount:$account" \
    --role=roles/storage.objectUser

is_there gcloud iam workload-identity-pools describe "$pool" "--project=$project" --location=global ||
    change gcloud iam workload-identity-pools create "$pool" "--project=$project" --location=global \
        '--display-name=E-commerce ELT on AWS'
# Sessions of the one role alone, whatever their names.
is_there gcloud iam workload-identity-pools providers describe aws-account "--project=$project" --location=global \
    "--workload-identity-pool=$pool" ||
    change gcloud iam workload-identity-pools providers create-aws aws-account "--project=$project" --location=global \
        "--workload-identity-pool=$pool" "--account-id=$aws_account" \
        "--attribute-mapping=google.subject=assertion.arn,attribute.aws_role=assertion.arn.extract('assumed-role/{role}/')" \
        "--attribute-condition=attribute.aws_role == '$role'"
change gcloud iam service-accounts add-iam-policy-binding "$account" "--project=$project" --role=roles/iam.workloadIdentityUser \
    "--member=principalSet://iam.googleapis.com/projects/$number/locations/global/workloadIdentityPools/$pool/attribute.aws_role/$role" \
    --condition=None

# The service copies as an account of Google's own, which is known to AWS by a number.
subject=''
if [ "$transfer" = yes ]; then
    change gcloud services enable storagetransfer.googleapis.com "--project=$project"
    change gcloud projects add-iam-policy-binding "$project" "--member=serviceAccount:$account" --role=roles/storagetransfer.user \
        --condition=None --quiet
    if [ "$dry_run" = no ]; then
        command -v curl >/dev/null || fail "curl is not installed"
        answer=$(curl --fail --silent --show-error --header "Authorization: Bearer $(gcloud auth print-access-token)" \
            "https://storagetransfer.googleapis.com/v1/googleServiceAccounts/$project") || fail "Storage Transfer Service does not answer"
        subject=$(sed -nE 's/.*"subjectId": *"([0-9]+)".*/\1/p' <<<"$answer")
        [[ $subject =~ ^[0-9]+$ ]] || fail "Storage Transfer Service named no subjectId: $answer"
    else
        subject=000000000000000000000
    fi
    for grant in roles/storage.legacyBucketReader roles/storage.objectUser; do
        change gcloud storage buckets add-iam-policy-binding "gs://$bucket" "--role=$grant" \
            "--member=serviceAccount:project-$number@storage-transfer-service.iam.gserviceaccount.com"
    done
fi

cat <<TEXT

Put this into the stage's file, infra/stages/, and deploy it (docs/bigquery.md):

bigquery:
  project: $project
  bucket: $bucket
  dataset: $dataset
  location: $location
  provider: $provider
  service_account: $account
TEXT
[ -z "$subject" ] || echo "  transfer_subject: \"$subject\""
