#!/usr/bin/env bash
# Worker for Duly in Bash, with curl and jq.
#
# Runs two job types: `render` reports progress after each page, continues from its checkpoint after a crash, and
# submits a `mail` as child job. The renders of a claim run at once; its mails are completed by one request, because
# starting curl and jq for each takes longer than the mail:
#
#     DULY_URL=http://127.0.0.1:8000 DULY_KEY=duly_… ./worker.sh
set -euo pipefail

URL=${DULY_URL:-http://127.0.0.1:8000}/api/v1/leases
LEASE_SECONDS=${LEASE_SECONDS:-30}
LOST=9 # exit status for a job that was cancelled or whose lease is lost

# post PATH BODY: prints the response. Each request may be repeated, so it is, until the service responds.
post() {
    local response status
    while true; do
        response=$(curl --silent --max-time 60 --write-out '\n%{http_code}' --json "$2" \
            ${DULY_KEY:+--oauth2-bearer "$DULY_KEY"} "$URL$1") || true
        status=${response##*$'\n'}
        case $status in
        2*) printf '%s\n' "${response%$'\n'*}" && return ;;
        409) return $LOST ;; # LEASE_LOST: another worker may run the job
        000 | 429 | 503) sleep 0.5 ;;
        *) echo "$1: $response" >&2 && return 1 ;;
        esac
    done
}

# render ID PAGES SECONDS PAGE: renders the pages after PAGE, submits a mail about them, and prints the result.
render() {
    local id=$1 pages=$2 seconds=$3 page=$4 report answer child
    while ((page < pages)); do
        sleep "$seconds"
        page=$((page + 1))
        report="{\"progress\": $((100 * page / pages)), \"message\": \"page $page\", \"checkpoint\": {\"page\": $page}}"
        answer=$(post "/$id/heartbeat" "$report") || return
        [[ $answer == *'"cancelRequested":false'* ]] || return $LOST
    done
    child=$(post "/$id/jobs" "{\"jobs\": [{\"type\": \"mail\", \"parameters\": {\"pages\": $pages}}]}") || return
    jq -c --argjson pages "$pages" '{pages: $pages, mail: .jobIds[0]}' <<<"$child"
}

# run_render ID …: runs one job, and reports its end.
run_render() {
    local result status=0
    result=$(render "$@") || status=$?
    case $status in
    0) post "/$1/complete" "{\"result\": $result}" ;;
    "$LOST") post "/$1/fail" '{"error": {"code": "STOPPED", "message": "Stopped on request."}}' ;;
    *) post "/$1/fail" "{\"error\": {\"message\": \"exit status $status\"}}" ;;
    esac >/dev/null || echo "lost the lease of a job"
}

# complete_mails LEASES: sends all mails of a claim, and completes them together. Each has its own response.
complete_mails() {
    local ends
    ends=$(jq -c '{leases: [.leases[] | select(.job.type == "mail")
        | {leaseId, result: {sent: true, token: .idempotencyToken}}]} | select(.leases != [])' <<<"$1")
    [[ -z $ends ]] || post "/complete" "$ends" | jq -r '.leases[].error // empty | .message'
}

CLAIM="{\"types\": [\"render\", \"mail\"], \"max\": 25, \"waitSeconds\": 30, \"leaseSeconds\": $LEASE_SECONDS,
    \"workerName\": \"$HOSTNAME-$$\"}"
while true; do
    leases=$(post "" "$CLAIM")
    complete_mails "$leases"
    while read -ra arguments; do
        run_render "${arguments[@]}" &
    done < <(jq -r '.leases[] | select(.job.type == "render")
        | [.leaseId, .job.parameters.pages, .job.parameters.seconds // 0, .checkpoint.page // 0] | @tsv' <<<"$leases")
    wait
done
