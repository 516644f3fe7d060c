"""What hosts of a stack's model make, as measured or modelled, on each instance type of its fleet."""

from __future__ import annotations

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import MEASUREMENTS
from tandem.files import PROJECT
from tandem.settings import Settings
from tandem.sizing.choice import Candidate, candidate
from tandem.sizing.config_file import load_shape
from tandem.sizing.known import catalog_shape
from tandem.sizing.measured import of_model
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load


def on_each_type(settings: Settings, load: Load) -> list[Candidate]:
    """The settings' main model, in the order of fleet.instanceTypes; none for a model that is not sized."""
    inference = settings.inference
    if not inference.is_sized:
        return []
    file = inference.model_config_file
    shape = load_shape(PROJECT / file) if file else catalog_shape(inference.model)
    serving = Serving(
        tensor_parallel_size=inference.tensor_parallel_size,
        pipeline_parallel_size=inference.pipeline_parallel_size,
        max_model_len=inference.max_model_len,
        max_num_seqs=inference.max_num_seqs,
        kv_cache_dtype=inference.kv_cache_dtype,
    )
    shape = with_quantization(shape, inference.quantization)
    measured = of_model(MEASUREMENTS, inference.model, inference.quantization)
    types = (INSTANCE_TYPES[name] for name in settings.fleet.instance_types)
    return [candidate(shape, serving, one, load=load, measured=measured) for one in types]
