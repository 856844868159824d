"""### Forecast demand

Forecasts the demand for each product on each of the next 28 days, as quantiles, and recommends
orders. The DAG compares a TensorFlow model of all products and five baselines at past origins. Each
class of products gets the forecast of the method that was best there. `docs/forecast.md` has the
model card and the measurements.

- **Runs** daily (`ECOMMERCE_FORECAST_SCHEDULE`), and whenever it is triggered.
- **Works on** the demand of all days before today, not on a data interval. If the demand has not
  changed, a run publishes the files of the earlier run.
- **Reads** `mart.product_demand_daily` (UNLOAD to `forecast/demand/`). **Writes** `forecast/runs/`,
  `models/demand/`, `mart.demand_forecast`, `mart.lead_time_demand` and `mart.reorder_level`;
  publishes the asset `ecommerce_marts`.

The program `forecast/` runs in its own virtual environment, which `make setup-forecast` installs,
or as an ECS task, if `ECOMMERCE_FORECAST_TASK_DEFINITION` names one. Without either the run is
skipped.

#### What to press after a failure

**Clear the red task**. Every task is idempotent, and the marts keep their rows until new ones have
passed the checks. If you do nothing, the run of the next day tries again. Runbook:
[forecast fails](/ecommerce/runbooks/forecast-fails).
"""

from __future__ import annotations

from airflow.sdk import dag
from ecommerce_elt.airflow.alerts import deadline
from ecommerce_elt.airflow.defaults import Stage, Tag, default_args
from ecommerce_elt.forecast.operators import forecast_operator
from ecommerce_elt.forecast.tasks import publish_forecast, unload_demand
from ecommerce_elt.settings import settings


@dag(
    schedule=settings().forecast_schedule,
    catchup=False,
    max_active_runs=1,
    max_active_tasks=1,
    default_args=default_args(Stage.FORECAST),
    deadline=deadline(Stage.FORECAST, minutes=60),
    doc_md=__doc__,
    tags=[Tag.MART],
)
def forecast_demand():
    forecast = forecast_operator(task_id="forecast")
    unload_demand() >> forecast
    publish_forecast(forecast.output)


forecast_demand()
