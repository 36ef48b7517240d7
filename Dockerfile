# syntax=docker/dockerfile:1
# Two stages: the first builds the wheel and a virtual environment, the second contains only that environment.
FROM python:3.13-slim-bookworm AS build
WORKDIR /build
COPY requirements/installer.lock requirements/runtime.lock requirements/
RUN python -m venv /opt/duly \
    && /opt/duly/bin/pip install --no-cache-dir --require-hashes -r requirements/installer.lock \
    && /opt/duly/bin/uv pip install --no-cache --compile-bytecode --python /opt/duly/bin/python --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
RUN /opt/duly/bin/uv pip install --no-cache --compile-bytecode --python /opt/duly/bin/python --no-deps . \
    && /opt/duly/bin/pip uninstall --yes uv

FROM python:3.13-slim-bookworm
# The image needs an external Postgres (DULY_DATABASE_URL); the data folder contains development keys only.
RUN useradd --system --uid 10001 --create-home --home-dir /home/duly duly \
    && install --directory --owner duly --group duly /data
COPY --from=build /opt/duly /opt/duly
ENV PATH=/opt/duly/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DULY_HOST=0.0.0.0 \
    DULY_PORT=8000 \
    DULY_DATA_DIR=/data \
    DULY_LOG_FORMAT=json
USER 10001
WORKDIR /home/duly
EXPOSE 8000
VOLUME /data
# On SIGTERM, running jobs get DULY_SHUTDOWN_GRACE_SECONDS; the stop timeout of the container must be longer.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"DULY_PORT\"]}/readyz', timeout=2)"]
ENTRYPOINT ["duly"]
CMD ["serve"]
