"""What holds for every test: a property is not false because the machine is busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("rushes", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rushes")
