# One image a service:  docker build --build-arg SERVICE=query --tag ragtime-analytics/query .
# SERVICE is ingest, processor, query or admin; EXTRAS is empty, or traces. Needs BuildKit;
# docs/quickstart-docker.md tells more.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY requirements requirements
ARG SERVICE
ARG EXTRAS=
RUN case "$SERVICE" in \
      ingest|processor|query|admin) ;; \
      *) echo "SERVICE is '$SERVICE': give --build-arg SERVICE=ingest, processor, query or admin" >&2; exit 1 ;; \
    esac \
    && case "$EXTRAS" in \
      ''|traces) ;; \
      *) echo "EXTRAS is '$EXTRAS': give --build-arg EXTRAS=traces, or leave it out" >&2; exit 1 ;; \
    esac
# The tools stay in this stage; of what is installed beside them, pip itself is no part.
# A pip.conf of your own (an index, a certificate) comes in as a secret: --secret id=pip,src=pip.conf
RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=pip,target=/etc/pip.conf \
    export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
    && python -m venv --without-pip /opt/ragtime \
    && python -m pip install --require-hashes --no-deps --requirement requirements/images.txt \
    && python -m pip --python /opt/ragtime/bin/python install --require-hashes --no-deps --no-build-isolation \
         --requirement "requirements/$SERVICE.txt" ${EXTRAS:+--requirement "requirements/$EXTRAS.txt"}
COPY pyproject.toml README.md LICENSE ./
COPY libs libs
COPY services/__init__.py services/
COPY services/${SERVICE} services/${SERVICE}
RUN export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 \
    && python -m pip wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/ragtime/bin/python install --no-deps --no-index /wheels/*.whl \
    && if [ "$SERVICE" != admin ]; then rm /opt/ragtime/bin/ragtime; fi \
    && cyclonedx-py environment --pyproject pyproject.toml --mc-type application --output-reproducible \
         --output-format JSON --output-file /opt/ragtime/sbom.cdx.json /opt/ragtime/bin/python
COPY deploy/docker/healthcheck.py /opt/ragtime/healthcheck.py
RUN printf '#!/bin/sh\nexec python -m services.%s "$@"\n' "$SERVICE" > /opt/ragtime/bin/start \
    && chmod 755 /opt/ragtime/bin/start

FROM ${PYTHON_IMAGE}
# /var/lib/ragtime is for a volume; nothing else can be written, and need not be.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip \
    && rm -rf "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip" \
    && groupadd --gid 10001 ragtime \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/ragtime --shell /usr/sbin/nologin ragtime \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/ragtime
COPY --from=build /opt/ragtime /opt/ragtime
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG PYTHON_IMAGE
# RAGTIME_HTTP__HOST: a container's loopback is nobody else's.
ENV PATH=/opt/ragtime/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVICE=${SERVICE} \
    RAGTIME_HTTP__HOST=0.0.0.0
LABEL org.opencontainers.image.title="ragtime-analytics ${SERVICE}" \
      org.opencontainers.image.description="Daily analytics for RAGtime chat assistants: ${SERVICE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
USER 10001:10001
WORKDIR /var/lib/ragtime
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-I", "-S", "/opt/ragtime/healthcheck.py"]
ENTRYPOINT ["start"]
