# MinIO's community edition, from its Go module: no public image of it is kept up. Built by `make images ONLY=minio`.
ARG GO=golang:1.26-bookworm
# The last of the community edition: the release of 2025-10-15, and the repairs after it. It gets no further ones.
ARG MINIO=v0.0.0-20260212201848-7aac2a2c5b7c

FROM ${GO} AS build
ARG MINIO
ARG GOPROXY=https://proxy.golang.org,direct
ENV CGO_ENABLED=0 GOTOOLCHAIN=local GOPROXY=${GOPROXY} GOBIN=/image/usr/bin GOMODCACHE=/cache/modules GOCACHE=/cache/build
# Named as MinIO's own build script names what is no release of theirs.
RUN --mount=type=cache,target=/cache \
    module=github.com/minio/minio && \
    found=$(go list -m -f '{{.Version}} {{.Time.Format "2006-01-02T15:04:05Z"}}' $module@${MINIO}) && set -- $found && \
    go install -trimpath -ldflags "-s -w -X $module/cmd.Version=$2 -X $module/cmd.CopyrightYear=${2%%-*} \
    -X $module/cmd.ReleaseTag=DEVELOPMENT.$(echo $2 | tr : -) \
    -X $module/cmd.CommitID=${1##*-} -X $module/cmd.ShortCommitID=${1##*-}" $module@$1 && \
    mkdir -p /image/etc/ssl/certs /image/usr/share/minio /image/tmp /data && chmod 1777 /image/tmp && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    cp $GOMODCACHE/$module@$1/LICENSE $GOMODCACHE/$module@$1/CREDITS /image/usr/share/minio/

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /data /data
ENV HOME=/tmp MINIO_UPDATE=off
ARG MINIO
ARG REVISION
LABEL org.opencontainers.image.title="rushes-minio" org.opencontainers.image.source="https://github.com/minio/minio" \
    org.opencontainers.image.version="${MINIO}" org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.licenses="AGPL-3.0-or-later"
USER 65532:65532
ENTRYPOINT ["/usr/bin/minio"]
CMD ["server", "/data"]
