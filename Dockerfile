# Airflow with the DAG package; the same image runs the local cloud's parts. Wheels only: no build tools.
ARG AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11
FROM ${AIRFLOW_IMAGE}

USER root
# An empty named volume takes the owner of the folder that it covers.
RUN mkdir -p /opt/ecommerce /var/lib/ecommerce && chown airflow:0 /opt/ecommerce /var/lib/ecommerce
USER airflow

WORKDIR /opt/ecommerce
COPY --chown=airflow:0 requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --only-binary :all: -r requirements.txt

COPY --chown=airflow:0 include include
COPY --chown=airflow:0 lambdas lambdas
COPY --chown=airflow:0 glue glue
COPY --chown=airflow:0 infra infra
COPY --chown=airflow:0 bi bi
COPY --chown=airflow:0 local local
COPY --chown=airflow:0 producer producer
COPY --chown=airflow:0 plugins plugins
COPY --chown=airflow:0 dags dags
COPY --chown=airflow:0 docs/runbooks docs/runbooks
COPY --chown=airflow:0 docs/*.md docs/

ENV PYTHONPATH=/opt/ecommerce:/opt/ecommerce/plugins \
    PYTHONUNBUFFERED=1 \
    ECOMMERCE_STATE=/var/lib/ecommerce \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/ecommerce/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/ecommerce/plugins
# Airflow is some thousand modules: each process would compile those anew that pip did not.
RUN python -m compileall -q plugins dags local producer infra bi
