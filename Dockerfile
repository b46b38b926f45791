# syntax=docker/dockerfile:1

# One image for every role of the hub: EVENTHUB_ROLES chooses. It is tried by tests/container_test.ts as far as that goes
# without a container engine, and by .ci/container with one.

ARG DENO_VERSION=2.9.6
# A digest, such as @sha256:…, fixes a base to the byte; empty takes what the tag of the version names.
ARG BUILD_DIGEST=
ARG RUNTIME_DIGEST=

# What is made here is text and the same for every processor, so it is made on the builder's own, without emulation.
FROM --platform=$BUILDPLATFORM denoland/deno:debian-${DENO_VERSION}${BUILD_DIGEST} AS build
ENV DENO_DIR=/deno-dir
WORKDIR /app
# The packages first: this layer stays until deno.json or deno.lock changes.
COPY deno.json deno.lock ./
RUN deno install --frozen
COPY main.ts ./
COPY protos protos
COPY src src
# Every module is compiled now, Workers and the command line too: nothing may be written later.
RUN find src -name '*.ts' -exec deno cache --frozen main.ts {} + && mkdir /data

# Distroless: Deno, the C library and certificates; no shell, no package manager, and so little that could need a patch.
# (Alpine's image brings glibc along, because Deno needs it: two C libraries instead of one.)
# No step runs in it: it is only copied together, so that an image for another processor needs no emulation.
FROM denoland/deno:distroless-${DENO_VERSION}${RUNTIME_DIGEST}
# EVENTHUB_ALLOW_PUBLIC: a container has an address of its own, and who reaches it is decided where its port is published.
# Publish on 127.0.0.1 or behind a proxy: there is no authentication yet.
ENV DENO_DIR=/deno-dir \
    DENO_NO_UPDATE_CHECK=1 \
    EVENTHUB_HOST=0.0.0.0 \
    EVENTHUB_ALLOW_PUBLIC=true \
    EVENTHUB_STORE_URL=sqlite:/data/eventhub.db
WORKDIR /app
COPY --from=build /deno-dir /deno-dir
COPY --from=build /app ./
# The only place that is written to. It belongs to the user below, and so does a new volume that is mounted on it.
COPY --from=build --chown=65532:65532 /data /data
VOLUME ["/data"]
# By number, so that an orchestrator can see that it is not root. 65532 is `nonroot` of distroless images.
USER 65532:65532
EXPOSE 8000 50051
STOPSIGNAL SIGTERM
# Takes 25 ms of an idle processor; it may ask this machine over HTTP and read the port's number, nothing else.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
  CMD ["deno", "run", "--no-prompt", "--cached-only", "--ignore-env", "--allow-env=EVENTHUB_HTTP_PORT,PORT", "--allow-net=127.0.0.1", "src/cli/health_check.ts"]
# Deno itself is process 1 and gets the signals: no shell, no task runner. The permissions are those of `deno task start`.
ENTRYPOINT ["deno", "run", "--cached-only", "--v8-flags=--heap-growing-percent=20,--max-semi-space-size=8", "--no-prompt", "--ignore-env", "--allow-env=NODE_ENV,EVENTHUB_*,PORT", "--allow-net", "--allow-read=/data,./src", "--allow-write=/data", "main.ts"]
