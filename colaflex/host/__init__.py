"""The plugin host: installed entry points, guarded loading, life-cycle hooks."""
